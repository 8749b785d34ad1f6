"""What the pages show is true: YAML, Python, links, generated tables and quoted messages."""

from __future__ import annotations

import ast
import importlib
import json
import re
import subprocess
import sys
import textwrap
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any

import pytest
import yaml

from agent.alerts.schema import AlertPayload
from agent.config import load_config
from agent.vision.model_spec import load_spec
from tests.docs.pages import PAGES, ROOT, Block, all_blocks

_BASE: dict[str, Any] = {
    "device": "porch",
    "cameras": {
        "front": {
            "source": "/dev/video0",
            "detector": {"kind": "motion"},
            "zones": {"drive": {"points": [[0, 0], [1, 0], [1, 1]]}},
            "tripwires": {"gate": {"points": [[0, 0], [1, 1]]}},
        }
    },
}
_LINK = re.compile(r"\[[^\]]*\]\(([^)\s]+)\)")
_HEADING = re.compile(r"^#+ (.+)$", re.MULTILINE)
_MESSAGE = re.compile(r"^\| `([^`]+(?:``[^`]*)*)` \|", re.MULTILINE)


@pytest.mark.parametrize("block", all_blocks("yaml"), ids=str)
def test_yaml_is_a_valid_configuration(block: Block, tmp_path: Path) -> None:
    """The whole, or a part of a camera; `<!-- under: cameras.front.tracker -->` puts it elsewhere."""
    content = yaml.safe_load(textwrap.dedent(block.text))
    if block.mark.startswith("yaml: "):
        assert isinstance(content, dict)
        return
    if "device" not in content:
        place = block.mark.removeprefix("under: ") or "cameras.front"
        for part in reversed(place.split(".")):
            content = {part: content}
        content = merged(_BASE, content)
    path = tmp_path / "edgetrack.yaml"
    path.write_text(yaml.safe_dump(content))
    assert load_config(path).cameras


def merged(below: dict[str, Any], above: dict[str, Any]) -> dict[str, Any]:
    """`above` over `below`; a detector replaces the one below, as its kinds share no keys."""
    result = dict(below)
    for key, value in above.items():
        under = result.get(key)
        both = isinstance(under, dict) and isinstance(value, dict) and key != "detector"
        result[key] = merged(under, value) if both else value
    return result


@pytest.mark.parametrize("block", all_blocks("json"), ids=str)
def test_json_is_an_alert_or_a_spec(block: Block, tmp_path: Path) -> None:
    content = json.loads(block.text)
    if "task" in content:
        path = tmp_path / "spec.json"
        path.write_text(block.text)
        assert load_spec(path).decoder
    else:
        assert AlertPayload.model_validate(content).id


@pytest.mark.parametrize("block", all_blocks("python"), ids=str)
def test_python_uses_what_there_is(block: Block) -> None:
    for node in ast.walk(ast.parse(block.text)):
        if isinstance(node, ast.ImportFrom):
            module = importlib.import_module(str(node.module))
            for alias in node.names:
                assert hasattr(module, alias.name), f"{block}: {node.module} has no {alias.name}"


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_links_lead_somewhere(page: Path) -> None:
    lost = []
    for link in _LINK.findall(page.read_text(encoding="utf-8")):
        if link.startswith(("http://", "https://", "mailto:")):
            continue
        name, _, anchor = link.partition("#")
        target = page.parent / name if name else page
        if not target.exists() or (anchor and target.suffix == ".md" and anchor not in anchors(target)):
            lost.append(link)
    assert lost == []


def anchors(page: Path) -> set[str]:
    """Of its headings, as GitHub makes them."""
    headings = _HEADING.findall(page.read_text(encoding="utf-8"))
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


def test_generated_tables_are_current() -> None:
    result = subprocess.run(
        [sys.executable, str(ROOT / "docs" / "generate.py"), "--check"],
        capture_output=True,
        text=True,
        check=False,
    )
    assert result.returncode == 0, result.stdout + result.stderr


def messages() -> list[str]:
    text = (ROOT / "docs" / "troubleshooting.md").read_text(encoding="utf-8")
    return [message for message in _MESSAGE.findall(text) if "…" in message]


def test_troubleshooting_quotes_messages() -> None:
    assert len(messages()) > 30


@pytest.mark.parametrize("message", messages())
def test_quoted_message_stands_in_the_code(message: str) -> None:
    """Each piece between two `…` (a name or a figure) in one text of the program, the longest in full."""
    pieces = [piece.strip(" :;,.()") for piece in message.split("…")]
    pieces = [piece for piece in pieces if re.search(r"\w{2}", piece)]
    assert max(map(len, pieces)) >= 12 or message.count("…") < 3, "too little to recognise it by"
    missing = [
        part
        for piece in pieces
        for part in re.split(r"[:;] ", piece)  # where: problem; hint are joined by the error itself
        if not any(part.strip() in text for text in texts())
    ]
    assert missing == []


@cache
def texts() -> tuple[str, ...]:
    """Every text of the agent's code, values in f-strings and log messages left open."""
    return tuple(
        re.sub(r"%[sdr.0-9f]+", "", text)
        for path in (ROOT / "agent").rglob("*.py")
        for text in texts_in(path)
    )


def texts_in(path: Path) -> Iterator[str]:
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Constant) and isinstance(node.value, str):
            yield node.value
