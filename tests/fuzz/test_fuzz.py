"""The short version of `python -m tests.fuzz.fuzz`; its seeds are whole, or it would look at nothing."""

from __future__ import annotations

from pathlib import Path

import pytest

from agent.alerts.commands import parse_request
from agent.alerts.messages import Message
from agent.alerts.receipts import parse_receipt
from agent.config import load_config
from agent.recording import Recording
from agent.vision.model_spec import load_spec
from tests.fuzz import fuzz, targets


def test_damaged_input_of_every_kind_is_refused_in_one_line_and_changes_nothing(tmp_path: Path) -> None:
    figures = fuzz.run(tmp_path, 4000, seed=2)
    assert int(str(figures["inputs"])) == 4000
    assert int(str(figures["native_loaded"])) > 0


def test_seeds_are_whole(tmp_path: Path) -> None:
    path = tmp_path / "seed"
    path.write_bytes(targets.CONFIG)
    assert len(load_config(path).cameras["front"].rules) == 3
    path.write_bytes(targets.SPEC)
    assert load_spec(path).labels == ("person", "car")
    path.write_bytes(targets.RECORDING)
    assert len(list(Recording(path))) == 2
    assert len(parse_receipt(Message(targets.TOPICS.acknowledged, targets.RECEIPT)).ids) == 2
    for name, body in targets.COMMAND_SEEDS:
        parse_request(name, body)


def test_fuzzer_finds_a_fault_that_is_there(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def fragile(data: bytes) -> None:
        if b"NaN" in data:
            raise ZeroDivisionError

    monkeypatch.setattr(fuzz, "receipt_target", fragile)
    with pytest.raises(ZeroDivisionError):
        fuzz.run(tmp_path, 4000, seed=3)
    assert b"NaN" in (tmp_path / "breach").read_bytes()
