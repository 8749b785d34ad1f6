"""Everything that the agent reads from outside, as functions of bytes that raise nothing."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from agent.alerts.commands import COMMANDS, Command, CommandHandler, Response
from agent.alerts.messages import Message
from agent.alerts.receipts import Receipt, parse_receipt
from agent.alerts.schema import AlertPayload
from agent.alerts.settings import BrokerSettings
from agent.alerts.topics import Topics
from agent.client import AlertClient
from agent.config import load_config
from agent.detect.tflite_file import check_tflite
from agent.errors import ConfigError, EdgetrackError
from agent.recording import Recording
from agent.vision.model_spec import load_spec

Target = Callable[[bytes], None]
TOPICS = Topics("edgetrack", "porch")

CONFIG = b"""device: porch
broker: {url: "mqtts://localhost:1883", username: a, acknowledge: receiver, tls: {min_version: "1.3"}}
outbox: {max_size_mb: 1.5, max_age_s: 60}
cameras:
  front:
    source: rtsp://camera/1
    fps: 5
    detector: {kind: motion}
    zones: {drive: {points: [[0.1, 0.5], [0.6, 0.5], [0.7, 1.0], [0.0, 1.0]]}}
    tripwires: {gate: {points: [[0.5, 0.0], [0.5, 1.0]]}}
    rules:
      - {kind: zone, zone: drive, when: [enter, leave], cooldown_s: 3}
      - {kind: tripwire, tripwire: gate, min_score: 0.5}
      - {kind: dwell, zone: drive, min_s: 10, schedule: {windows: [{days: [mon], start: "22:00"}]}}
"""
SPEC = json.dumps(
    {
        "name": "person-320",
        "task": "detection",
        "labels": ["person", "car"],
        "decoder": "yolox",
        "input": {"width": 416, "height": 320, "mean": [0, 0, 0], "std": [1, 1, 1], "pad": 114},
        "outputs": [{"role": "predictions", "index": 0}],
        "min_score": 0.25,
        "score_levels": [0.25, 0.5, 0.6],
    }
).encode()
_NOBODY: dict[str, list[object]] = {"boxes": [], "scores": [], "labels": []}
_NO_TRACK = {**_NOBODY, "ids": [], "velocities": [], "states": [], "age_s": [], "since_seen_s": []}
_SOMEBODY = {"boxes": [[1, 2, 30, 40]], "scores": [0.9], "labels": [0]}
_A_TRACK = {"ids": [7], "velocities": [[0.5, 1]], "states": [1], "age_s": [0.5], "since_seen_s": [0]}
_TIMES = {"wall_s": 1700000001.0, "index": 0, "size": [640, 480]}
RECORDING = b"\n".join(
    json.dumps(line).encode()
    for line in (
        {"format": "edgetrack-recording", "version": 1, "camera": "front", "labels": ["person", "car"]},
        {"time_s": 1.0, **_TIMES, "detections": _SOMEBODY, "tracks": {**_SOMEBODY, **_A_TRACK}},
        {"time_s": 1.1, **_TIMES, "detections": _NOBODY, "tracks": _NO_TRACK},
    )
)
COMMAND_SEEDS = (
    ("set_armed", b'{"transaction": "t", "armed": false, "camera": "front", "rule": "gate"}'),
    ("set_min_score", b'{"camera": "front", "min_score": 0.5}'),
    ("reset_counts", b'{"camera": "front", "place": "gate"}'),
    ("snapshot", b'{"camera": "front"}'),
    ("reload", b""),
    ("pause", b'{"camera": "front", "transaction": "\xe2\x82\xac"}'),
)
RECEIPT = b'{"schema": 1, "ids": ["01M7Y3H977VGC11T0JSY0H059V", "01M7Y3H977VGC11T0JSY0H059T"]}'


class BreachError(AssertionError):
    """Input did what no input may do."""


def refused_in_one_line(read: Callable[[], object]) -> bool:
    """Whether `read` refuses; any other exception than an EdgetrackError of one line goes through."""
    try:
        read()
    except ConfigError as error:
        lines: tuple[str, ...] = (str(error), *error.faults)
    except EdgetrackError as error:
        lines = (str(error),)
    else:
        return False
    for line in lines:
        if "\n" in line or ("expected" not in line and ": " not in line):
            raise BreachError(f"expected one line, got {line!r}")
    return True


def file_target(path: Path, read: Callable[[Path], object]) -> Target:
    """A target whose bytes lie in a file."""

    def target(data: bytes) -> None:
        path.write_bytes(data)
        refused_in_one_line(lambda: read(path))

    return target


def _read_all(path: Path) -> None:
    for _ in Recording(path):
        pass


def receipt_target(data: bytes) -> None:
    """A receipt, or one line."""
    message = Message(TOPICS.acknowledged, data)
    if not refused_in_one_line(lambda: parse_receipt(message)):
        receipt = parse_receipt(message)
        if Receipt.model_validate_json(receipt.to_json()) != receipt or len(set(map(len, receipt.ids))) > 1:
            raise BreachError(f"expected ids, got {receipt}")


class CommandTarget:
    """Requests against a handler whose application counts what it is told to do."""

    def __init__(self) -> None:
        self.state = 0
        self.answered: list[Message] = []
        self._handler = CommandHandler(TOPICS, self._act, self.answered.append)

    def _act(self, command: Command) -> Mapping[str, Any] | None:
        if not isinstance(command, COMMANDS[command.name]):
            raise BreachError(f"expected {command.name}, got {type(command)}")
        self.state += 1
        return None

    def ask(self, name: str, data: bytes, *, retain: bool) -> None:
        """One request; a refused one changes nothing."""
        before = self.state
        answer: Response = self._handler._answer(name, Message(TOPICS.request(name), data, retain=retain))
        if answer.status == "error" and self.state != before:
            raise BreachError(f"a refused {name} changed the state: {data!r}")
        if answer.error is not None and "\n" in answer.error:
            raise BreachError(f"expected one line, got {answer.error!r}")
        json.loads(answer.model_dump_json())

    def close(self) -> None:
        self._handler.close()


def alert_target(data: bytes) -> None:
    """What a receiver makes of a message on an alert topic."""
    for event in AlertClient(BrokerSettings())._understand(Message("edgetrack/porch/front/alerts", data)):
        if isinstance(event, AlertPayload):
            event.to_json()


def file_targets(folder: Path) -> dict[str, Target]:
    """Those that read files."""
    return {
        "configuration": file_target(folder / "edgetrack.yaml", load_config),
        "ModelSpec": file_target(folder / "model.json", load_spec),
        "recording": file_target(folder / "front.ndjson", _read_all),
        ".tflite": file_target(folder / "model.tflite", check_tflite),
    }
