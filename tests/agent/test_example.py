"""`edgetrack.example.yaml`: complete, true to the settings, and a working start."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from agent.config import Config, load_config
from agent.config_faults import sections_in
from agent.example import example

COMMITTED = Path(__file__).resolve().parents[2] / "agent" / "edgetrack.example.yaml"


def fields_below(model: type) -> set[str]:
    """Names of all settings of a section and of the sections in it."""
    names: set[str] = set()
    for name, field in model.model_fields.items():  # type: ignore[attr-defined]
        names.add(name)
        pending = [field.annotation]
        while pending:
            annotation = pending.pop()
            for inner in sections_in(annotation):
                names |= fields_below(inner)
            pending.extend(getattr(annotation, "__args__", ()))
    return names


def test_committed_example_is_what_the_settings_say() -> None:
    assert COMMITTED.read_text() == example(), "run: edgetrack-agent example > agent/edgetrack.example.yaml"


def test_example_is_a_working_configuration(tmp_path: Path) -> None:
    path = tmp_path / "edgetrack.yaml"
    path.write_text(example())
    assert list(load_config(path).cameras) == ["front"]


def test_example_names_every_setting() -> None:
    named = set(re.findall(r"([a-z_]+):", example()))
    assert fields_below(Config) - named == set()


@pytest.mark.parametrize("block", ["tls", "outbox", "motion", "tracker", "gate"])
def test_block_that_is_commented_out_is_valid_once_it_is_not(tmp_path: Path, block: str) -> None:
    lines, inside = [], False
    for line in example().splitlines():
        start = re.match(rf"( *)# {block}:$", line)
        if start:
            inside, mark = True, start[1] + "# "
        elif inside and not line.startswith(mark + "  "):
            inside = False
        lines.append(line.replace("# ", "", 1) if inside else line)
    path = tmp_path / "edgetrack.yaml"
    path.write_text("\n".join(lines))
    assert path.read_text() != example()
    load_config(path)
