"""Every documented command: those that can run here do, and of all others each option must exist."""

from __future__ import annotations

import ast
import contextlib
import os
import re
import shlex
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import click
import pytest
import typer
import yaml

from tests.conftest import Mosquitto
from tests.docs.pages import PAGES, ROOT, Block, all_blocks, blocks

SHELL = all_blocks("sh")
_PROGRAMS = {"edgetrack-agent": "agent", "edgetrack-models": "models", "edgetrack-convert": "converter"}
_INLINE = re.compile(r"`((?:edgetrack-(?:agent|models|convert)) [a-z][^`]*)`")
_ENDLESS = re.compile(r"^(?=edgetrack-agent watch\b|mosquitto_sub\b)", re.MULTILINE)
_ENDED = 'ended_after_3_s() { timeout -s INT 3 "$@" || test $? = 124; }'
_TARGET = re.compile(r"^([a-z][a-z0-9-]*):", re.MULTILINE)


def commands() -> Iterator[tuple[Block, list[str]]]:
    """(block, words) of every command line, comments and continuations taken out, `a && b` as two."""
    for block in SHELL:
        for line in block.text.replace("\\\n", " ").splitlines():
            words = shlex.split(line, comments=True)
            part: list[str] = []
            for word in [*words, "&&"]:
                if word in ("&&", "||", "|", ";"):
                    if part:
                        yield block, part
                    part = []
                else:
                    part.append(word)


COMMANDS = list(commands())


@pytest.mark.parametrize("block", SHELL, ids=str)
def test_every_shell_block_says_whether_it_runs(block: Block) -> None:
    assert re.match(r"run$|run: .+|not run: .+", block.mark), (
        f"{block}: expected `<!-- run -->` or `<!-- not run: why -->` in the line before the block"
    )


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Where a page's blocks run: the demo's clip and model lie there."""
    path = tmp_path / "page"
    path.mkdir()
    shutil.copy(ROOT / "agent" / "demo" / "street.mp4", path / "VIDEO.mp4")
    shutil.copy(ROOT / "models" / "artefacts" / "motion_lstm.tflite", path / "model.tflite")
    for name in ("MODEL.tflite", "MODEL.json"):
        shutil.copy((ROOT / "models" / "artefacts" / "street").with_suffix(Path(name).suffix), path / name)
    return path


def configuration(broker: str) -> str:
    """The README's, of the demo's clip and zone."""
    demo = yaml.safe_load((ROOT / "agent" / "demo" / "demo.yaml").read_text())["cameras"]["street"]
    camera = {**demo, "source": "VIDEO.mp4", "detector": {"model": "MODEL.tflite"}}
    content = {"device": "porch", "broker": {"url": broker}, "cameras": {"front": camera}}
    return yaml.safe_dump({**content, "outbox": {"path": "outbox.sqlite"}})


@pytest.mark.parametrize(
    "page",
    [page for page in PAGES if any(b.mark.startswith("run") for b in blocks(page))],
    ids=lambda p: p.name,
)
@pytest.mark.timeout(1800)
def test_blocks_marked_run_do_run(page: Path, folder: Path, mosquitto: Mosquitto) -> None:
    """Against a broker of the test's own; what never ends by itself is ended after three seconds."""
    shown = [block for block in blocks(page) if block.language == "sh" and block.mark.startswith("run")]
    if not any("init edgetrack.yaml" in block.text for block in shown):
        (folder / "edgetrack.yaml").write_text(configuration(mosquitto.url))
    programs = Path(sys.executable).parent
    for block in shown:
        text = _ENDLESS.sub("ended_after_3_s ", block.text)
        text = text.replace("edgetrack-agent watch ", f"edgetrack-agent watch --broker {mosquitto.url} ")
        text = text.replace("--broker mqtt://localhost ", "")
        text = text.replace("-h localhost", f"-h {mosquitto.host} -p {mosquitto.port}")
        result = subprocess.run(
            ["bash", "-euo", "pipefail", "-c", f"{_ENDED}\n{text}"],
            cwd=folder,
            env={**os.environ, "PATH": f"{programs}:{os.environ['PATH']}", "TERM": "dumb"},
            capture_output=True,
            text=True,
            check=False,
            timeout=1200,
        )
        assert result.returncode == 0, f"{block}: {result.stdout}{result.stderr}"


@pytest.mark.parametrize("program", _PROGRAMS)
def test_every_documented_option_exists(program: str) -> None:
    """By the parser of the program itself, so that a wrong value is found too."""
    checked = 0
    for block, words in COMMANDS:
        name = next((word for word in words[:2] if Path(word).name in _PROGRAMS), None)
        if name is None or Path(name).name != program:
            continue
        arguments = words[words.index(name) + 1 :]
        arguments = arguments[
            : next((i for i, w in enumerate(arguments) if w.startswith(">")), len(arguments))
        ]
        try:
            parse(program, arguments)
        except (click.ClickException, AssertionError) as error:
            pytest.fail(f"{block}: {' '.join(words)}: {error}")
        checked += 1
    assert checked >= 3


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_commands_in_sentences_exist(page: Path) -> None:
    """Their names and options; what they need beside is left out in a sentence."""
    for text in _INLINE.findall(page.read_text(encoding="utf-8")):
        program, *arguments = shlex.split(text.replace("…", ""))
        with contextlib.suppress(typer.BadParameter):  # one that is missing among them
            parse(program, arguments)


_SCRIPTS = [(block, words) for block, words in COMMANDS if "python" in Path(words[0]).name and len(words) > 1]


@pytest.mark.parametrize(("block", "words"), [c for c in _SCRIPTS if c[1][1].endswith(".py")], ids=str)
def test_options_of_documented_scripts_exist(block: Block, words: list[str]) -> None:
    asked = [word for word in words[2:] if word.startswith("--")]
    if not asked:
        assert ast.parse((ROOT / words[1]).read_text())
        return
    shown = subprocess.run(
        [sys.executable, words[1], "--help"],
        cwd=ROOT,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        check=False,
        timeout=240,
    )
    assert shown.returncode == 0, f"{block}: {shown.stderr}"
    for option in asked:
        assert option in shown.stdout, f"{block}: {option}"


def parse(program: str, arguments: list[str]) -> None:
    """Parse a command line as the program would, without running it.

    Raises:
        click.UsageError: no such command or option, or a value that it does not take.
    """
    module = __import__(f"{_PROGRAMS[program]}.cli", fromlist=["app"])
    command = typer.main.get_command(module.app)
    if not arguments or arguments[0] == "--version":
        return
    while hasattr(command, "commands"):
        found = command.commands.get(arguments[0])
        assert found is not None, f"no command {arguments[0]}"
        command, arguments = found, arguments[1:]
    command.make_context(program, list(arguments))


def test_every_documented_make_target_exists() -> None:
    targets = set(_TARGET.findall((ROOT / "Makefile").read_text()))
    used = {}
    for block, words in COMMANDS:
        if "make" in words[:2]:
            asked = [word for word in words[words.index("make") + 1 :] if "=" not in word]
            used |= {target: block for target in asked if not target.startswith("-")}
    assert used
    assert {target: str(block) for target, block in used.items() if target not in targets} == {}


def test_files_that_commands_name_are_there() -> None:
    """Paths into the repository; those that a user brings are not looked at."""
    rooms = ("agent/", "models/", "converter/", "systemd/", "tests/", "docs/", ".ci/")
    missing = [
        f"{block}: {word}"
        for block, words in COMMANDS
        for word in words
        if word.startswith(rooms) and not (ROOT / word).exists()
    ]
    assert missing == []
