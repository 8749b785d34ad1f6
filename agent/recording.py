"""Recordings: what was seen and tracked, frame by frame, to be replayed faster than it happened.

A recording is a text file of one camera, one JSON object a line (NDJSON, UTF-8). The first line is the
header:

    {"format": "edgetrack-recording", "version": 1, "camera": "front", "labels": ["person", "car"],
     "score_levels": [0.25, 0.5, 0.6]}

Every further line is a frame, also one without objects, in the order of time:

    {"time_s": 12.04, "wall_s": 1700000012.04, "index": 301, "size": [640, 480],
     "detections": {"boxes": [[x1, y1, x2, y2], …], "scores": [0.9, …], "labels": [0, …]},
     "tracks": {"ids": [7, …], "boxes": …, "velocities": [[vx, vy], …], "scores": …, "labels": …,
                "states": [1, …], "age_s": …, "since_seen_s": …},
     "actions": {"labels": [2, …], "scores": [0.9, …]}}

`detections`, `tracks` or `actions` may be left out, for all frames alike. `actions` has a row for each track,
and the header then names them: `"actions": ["walk", "run", …]`. Names, units and states are those of
`agent.records`; numbers have the nine digits that float32 needs to be read back exactly. A last line that is
cut off, as by a power failure, is left out; any other fault is an error with its line.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from types import TracebackType
from typing import Any, NoReturn, TypeVar

import numpy as np

from agent.errors import DataError, StorageError
from agent.records import Actions, Detections, Tracks, TrackState

FORMAT, VERSION = "edgetrack-recording", 1
_LARGEST = 1e18  # of a number: JSON has no limit, float32 and int64 have

_FLOATS = {"boxes": 4, "velocities": 2, "scores": 0, "age_s": 0, "since_seen_s": 0}
"""Numbers per object of the arrays of float32; 0: one, not in a list."""

Objects = TypeVar("Objects", Detections, Tracks, Actions)
_KINDS = ("detections", "tracks", "actions")


@dataclass(frozen=True, slots=True)
class RecordingHeader:
    """What holds for all frames of a recording.

    Args:
        camera: its name.
        labels: class names, by index.
        score_levels: of the detector, as its ModelSpec has them; empty when not known.
        actions: names of what tracks do, by index; empty when nobody looked.
    """

    camera: str
    labels: tuple[str, ...]
    score_levels: tuple[float, ...] = ()
    actions: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, eq=False)
class RecordedFrame:
    """One frame of a recording.

    Args:
        time_s: monotonic.
        wall_s: seconds since 1970 (UTC).
        index: of the frame within its source.
        size: (width, height) in px that boxes refer to.
        detections, tracks, actions: None when not recorded.
    """

    time_s: float
    wall_s: float
    index: int
    size: tuple[int, int]
    detections: Detections | None = None
    tracks: Tracks | None = None
    actions: Actions | None = None


class RecordingWriter:
    """Writes a recording; every frame is in the file once `write` returns.

    Args:
        path: the file; replaced when it exists.
        header: of the recording.

    Raises:
        StorageError: it cannot be written.
    """

    def __init__(self, path: Path, header: RecordingHeader) -> None:
        self.path = path
        try:
            self._file = path.open("w", encoding="utf-8", newline="\n")
        except OSError as error:
            self._fail(error)
        self._put({"format": FORMAT, "version": VERSION, **asdict(header)})

    def write(self, frame: RecordedFrame) -> None:
        """Append one frame.

        Raises:
            StorageError: it cannot be written.
        """
        line: dict[str, Any] = {
            "time_s": frame.time_s,
            "wall_s": frame.wall_s,
            "index": frame.index,
            "size": list(frame.size),
        }
        for name in _KINDS:
            objects = getattr(frame, name)
            if objects is not None:
                line[name] = {field.name: _listed(getattr(objects, field.name)) for field in fields(objects)}
        self._put(line)

    def close(self) -> None:
        """Close the file."""
        try:
            self._file.close()
        except OSError as error:
            self._fail(error)

    def __enter__(self) -> RecordingWriter:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def _put(self, line: Mapping[str, Any]) -> None:
        try:
            self._file.write(json.dumps(line, separators=(",", ":"), allow_nan=False) + "\n")
            self._file.flush()
        except OSError as error:
            self._fail(error)

    def _fail(self, error: OSError) -> NoReturn:
        problem = f"expected a file that can be written, got {error.strerror or error}"
        raise StorageError(str(self.path), problem, "free some space or record elsewhere") from error


def _listed(values: np.ndarray[Any, Any]) -> list[Any]:
    """An array as nested lists, float32 with the digits that it takes to read it back exactly."""
    if values.dtype != np.float32:
        listed: list[Any] = values.tolist()
        return listed
    short = np.array([float(f"{value:.9g}") for value in values.ravel().tolist()], np.float64)
    shaped: list[Any] = short.reshape(values.shape).tolist()
    return shaped


class Recording:
    """Reads a recording, one frame at a time; iterate over it as often as you like.

    Args:
        path: the file.

    Raises:
        DataError: it is missing or its header is not one. Iterating raises it for a wrong frame.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self.header = self._read_header()

    def __iter__(self) -> Iterator[RecordedFrame]:
        last_s = -np.inf
        recorded: tuple[bool, ...] | None = None
        for number, line in self._lines():
            if number == 1:
                continue
            frame = self._frame(number, line)
            if frame.time_s < last_s:
                self._refuse(
                    number, "time_s", f"at least {last_s:g}, that of the line before", f"{frame.time_s:g}"
                )
            kinds = tuple(getattr(frame, kind) is not None for kind in _KINDS)
            if recorded is not None and kinds != recorded:
                self._refuse(number, "", f"the same of {', '.join(_KINDS)} as in the line before", "others")
            last_s, recorded = frame.time_s, kinds
            yield frame

    def _lines(self) -> Iterator[tuple[int, dict[str, Any]]]:
        try:
            with self.path.open(encoding="utf-8") as file:
                for number, text in enumerate(file, 1):
                    try:
                        line = json.loads(text, parse_constant=self._refuse_constant)
                    except (ValueError, RecursionError) as error:
                        if not text.endswith("\n") and number > 1:
                            return
                        self._refuse(number, "", "a JSON object", f"{text[:40]!r} ({error})")
                    if not isinstance(line, dict):
                        self._refuse(number, "", "a JSON object", text[:40].strip())
                    yield number, line
        except OSError as error:
            raise DataError(str(self.path), f"expected a recording, got {error.strerror or error}") from error
        except UnicodeDecodeError as error:
            raise DataError(str(self.path), "expected UTF-8 text, got other bytes") from error

    def _refuse_constant(self, name: str) -> NoReturn:
        raise ValueError(f"{name} is no number")

    def _read_header(self) -> RecordingHeader:
        for _, line in self._lines():
            if line.get("format") != FORMAT:
                self._refuse(1, "format", repr(FORMAT), repr(line.get("format")))
            if line.get("version") != VERSION:
                self._refuse(1, "version", str(VERSION), repr(line.get("version")))
            labels = line.get("labels")
            if not isinstance(labels, list) or not all(isinstance(label, str) for label in labels):
                self._refuse(1, "labels", "a list of class names", repr(labels)[:40])
            levels = line.get("score_levels", [])
            sound = isinstance(levels, list) and all(isinstance(level, int | float) for level in levels)
            if not sound or len(levels) not in (0, 3):
                self._refuse(1, "score_levels", "three numbers", repr(levels)[:40])
            actions = line.get("actions", [])
            if not isinstance(actions, list) or not all(isinstance(name, str) for name in actions):
                self._refuse(1, "actions", "a list of names", repr(actions)[:40])
            camera = str(line.get("camera", ""))
            return RecordingHeader(camera, tuple(labels), tuple(levels), tuple(actions))
        raise DataError(str(self.path), "expected a recording, got an empty file")

    def _frame(self, number: int, line: Mapping[str, Any]) -> RecordedFrame:
        size = line.get("size")
        sound = isinstance(size, list) and len(size) == 2
        if not sound or not all(isinstance(side, int) and side > 0 for side in size or ()):
            self._refuse(number, "size", "[width, height] in px", repr(size)[:40])
        width, height = size or (1, 1)
        known = {"time_s", "wall_s", "index", "size", *_KINDS}
        if unknown := sorted(set(line) - known):
            self._refuse(number, unknown[0], f"one of {', '.join(sorted(known))}", "an unknown key")
        tracks = self._objects(number, "tracks", line, Tracks)
        actions = self._objects(number, "actions", line, Actions)
        if actions is not None and (tracks is None or len(actions) != len(tracks)):
            rows = "none" if tracks is None else str(len(tracks))
            self._refuse(number, "actions", f"a row for each track ({rows})", str(len(actions)))
        if actions is not None and (actions.labels >= len(self.header.actions)).any():
            self._refuse(number, "actions.labels", "indices of the header's actions", "a larger one")
        return RecordedFrame(
            time_s=self._number(number, line, "time_s"),
            wall_s=self._number(number, line, "wall_s"),
            index=int(self._number(number, line, "index")),
            size=(width, height),
            detections=self._objects(number, "detections", line, Detections),
            tracks=tracks,
            actions=actions,
        )

    def _number(self, number: int, line: Mapping[str, Any], key: str) -> float:
        value = line.get(key)
        if isinstance(value, bool) or not isinstance(value, int | float) or not abs(value) <= _LARGEST:
            self._refuse(number, key, "a number", repr(value)[:40])
        return float(value)

    def _objects(
        self, number: int, name: str, line: Mapping[str, Any], kind: type[Objects]
    ) -> Objects | None:
        if name not in line:
            return None
        content = line[name]
        keys = [field.name for field in fields(kind)]
        if not isinstance(content, dict) or set(content) != set(keys):
            got = ", ".join(content) if isinstance(content, dict) else repr(content)[:40]
            self._refuse(number, name, f"the keys {', '.join(keys)}", got or "none")
        arrays = [self._array(number, name, key, content) for key in keys]
        return kind(*arrays)

    def _array(self, number: int, name: str, key: str, content: Mapping[str, Any]) -> np.ndarray[Any, Any]:
        rows = len(content[next(iter(content))]) if isinstance(content[next(iter(content))], list) else -1
        per_object = _FLOATS.get(key, 0)
        what = f"a list of {rows} {'[' + ', '.join('n' * per_object) + ']' if per_object else 'numbers'}"
        try:
            values = np.array(content[key], np.float64)
        except (TypeError, ValueError, OverflowError):
            self._refuse(number, f"{name}.{key}", what, repr(content[key])[:40])
        if not (np.abs(values) <= _LARGEST).all():
            self._refuse(number, f"{name}.{key}", "finite numbers", repr(content[key])[:40])
        values = values.reshape(0, per_object) if per_object and values.size == 0 else values
        if values.shape != ((rows, per_object) if per_object else (rows,)):
            self._refuse(number, f"{name}.{key}", what, repr(content[key])[:40])
        if key in _FLOATS:
            return values.astype(np.float32)
        whole = values.astype(np.int64)
        if (whole != values).any():
            self._refuse(number, f"{name}.{key}", "whole numbers", repr(content[key])[:40])
        if key == "states" and not np.isin(whole, list(TrackState)).all():
            states = ", ".join(f"{state.value} {state.name.lower()}" for state in TrackState)
            self._refuse(number, f"{name}.{key}", states, repr(content[key])[:40])
        return whole

    def _refuse(self, number: int, place: str, expected: str, got: str) -> NoReturn:
        where = f"{self.path}:{number} {place}".rstrip()
        raise DataError(where, f"expected {expected}, got {got}")
