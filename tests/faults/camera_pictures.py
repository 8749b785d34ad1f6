"""Faulty pictures against harmless changes: what the watch on a camera's picture tells, and how soon.

    python -m tests.faults.camera_pictures [--data ../shared/data] [--scenes 12]

Every clip is shown for two minutes and longer, then spoiled; the clock is the clip's own, so that hours
pass in minutes. Prints a line for each; exits 1 when in more than a fifth of the clips a
state was told of a healthy camera, or a fault was not told.
"""

from __future__ import annotations

import argparse
import itertools
import json
import statistics
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import cv2
import numpy as np

from agent.capture.picture_watch import PictureWatch
from agent.capture.settings import SourceSettings
from agent.records import ImageArray
from tests.faults.spoil import FAULTS, HARMLESS, Spoil

AFTER_S = 10.0
_HEALTHY_S = 150.0
_FAULT_S = 40.0
_WIDTH = 384  # px: enough for the watch, which looks at about 320
SETTINGS = SourceSettings(source="rtsp://camera", picture_fault_after_s=AFTER_S)


def clip(path: Path, limit: int = 200) -> list[ImageArray]:
    """A picture a second of a video."""
    capture = cv2.VideoCapture(str(path))
    rate, pictures, number = capture.get(cv2.CAP_PROP_FPS), list[ImageArray](), 0
    while len(pictures) < limit:
        done, image = capture.read()
        if not done:
            break
        if number >= len(pictures) * rate:
            height = round(image.shape[0] * _WIDTH / image.shape[1])
            pictures.append(cv2.resize(image, (_WIDTH, height), interpolation=cv2.INTER_AREA))  # type: ignore[arg-type]
        number += 1
    capture.release()
    return pictures


def clips(data: Path, scenes: int) -> dict[str, list[ImageArray]]:
    """The real videos, and scenes of the generator by day and by night."""
    from models.data.scene.compose import random_scene
    from models.data.scene.render import Renderer

    videos = [*sorted(data.glob("video/*.mp4")), *sorted(data.glob("pets09_s2l1/*.mp4"))]
    found = {path.stem: clip(path) for path in videos}
    for seed in range(scenes):
        scene = random_scene(seed)
        name = f"scene {seed} ({'night' if scene.light.is_night else 'day'})"
        found[name] = [shot.image for shot in Renderer(scene).frames(20.0, 1.0)]
    return found


def watched(pictures: list[ImageArray], spoil: Spoil, spoiled_s: float) -> Iterator[tuple[float, str]]:
    """What is told when: seconds since the change, and the state, "online" when it ends.

    Healthy for `_HEALTHY_S`, spoiled for `spoiled_s`, healthy again.
    """
    watch = PictureWatch(SETTINGS.picture_fault_after_s, SETTINGS.picture_faults)
    rng, endless = np.random.default_rng(1), itertools.cycle(pictures)
    for now_s in np.arange(0.0, _HEALTHY_S + spoiled_s + 30.0):
        image, since_s = next(endless), float(now_s - _HEALTHY_S)
        if 0.0 <= since_s < spoiled_s:
            image = spoil(image, since_s, rng)
        if watch.look(image, float(now_s)):
            yield since_s, str(watch.fault[0]) if watch.fault else "online"


def faults(pictures: list[ImageArray]) -> dict[str, dict[str, float | str | None]]:
    """Per fault: the state that it was told by, after how long, and how long after its end it was over."""
    rows: dict[str, dict[str, float | str | None]] = {}
    for name, (spoil, states) in FAULTS.items():
        told = list(watched(pictures, spoil, _FAULT_S))
        first = next((item for item in told if item[1] in states), None)
        over = next((since_s for since_s, state in reversed(told) if state == "online"), None)
        early = [state for since_s, state in told if since_s < 0]
        rows[name] = {
            "state": first[1] if first else None,
            "after_s": first[0] if first else None,
            "over_s": over - _FAULT_S if first and over is not None else None,
            "others": ", ".join(early) or None,
        }
    return rows


def harmless(pictures: list[ImageArray]) -> dict[str, list[tuple[float, str]]]:
    """Per change: the states that were told of it."""
    return {name: list(watched(pictures, *change)) for name, change in HARMLESS.items()}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", type=Path, default=Path("../shared/data"))
    parser.add_argument("--scenes", type=int, default=12)
    arguments = parser.parse_args()
    began_s = time.monotonic()
    shown = clips(arguments.data, arguments.scenes)
    found = {name: faults(pictures) for name, pictures in shown.items()}
    bad = 0
    for fault in FAULTS:
        rows = [rows[fault] for rows in found.values()]
        delays = [float(row["after_s"]) for row in rows if row["after_s"] is not None]
        ends = [float(row["over_s"]) for row in rows if row["over_s"] is not None]
        missed = [name for name, rows in found.items() if rows[fault]["state"] is None]
        bad += sum(bool(row["others"]) for row in rows)
        figures = {
            "fault": fault,
            "told": f"{len(delays)} of {len(rows)}",
            "after_s": [statistics.median(delays), max(delays)] if delays else None,
            "over_after_s": [statistics.median(ends), max(ends)] if ends else None,
            "missed": missed,
        }
        print(json.dumps(figures), flush=True)
        bad += len(missed) > len(rows) / 5
    calm = {name: harmless(pictures) for name, pictures in shown.items()}
    for change in HARMLESS:
        false = {name: told[change] for name, told in calm.items() if told[change]}
        print(json.dumps({"harmless": change, "false": f"{len(false)} of {len(shown)}", "which": false}))
        bad += len(false) > len(shown) / 5
    print(json.dumps({"clips": len(shown), "elapsed_s": round(time.monotonic() - began_s, 1)}))
    sys.exit(bool(bad))


if __name__ == "__main__":
    main()
