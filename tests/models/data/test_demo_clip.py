from __future__ import annotations

import json
from pathlib import Path

import cv2
import numpy as np
import pytest

import agent
from models.data.demo_clip import demo_scene
from models.data.scene.render import Renderer
from models.data.scene.truth import FrameTruth, crossings, zone_changes

DEMO = Path(agent.__file__).parent / "demo"


@pytest.fixture(scope="module")
def content() -> dict[str, object]:
    loaded: dict[str, object] = json.loads((DEMO / "street.json").read_text(encoding="utf-8"))
    return loaded


@pytest.mark.slow
def test_shipped_truth_is_what_the_scene_holds(content: dict[str, object]) -> None:
    renderer = Renderer(demo_scene())
    truths: list[FrameTruth] = [renderer.frame(index / 15.0).truth for index in range(219)]
    wire = content["tripwires"]["street"]["points"]  # type: ignore[index]
    zone = content["zones"]["drive"]["points"]  # type: ignore[index]
    crossed = crossings(truths, (640, 360), "street", (tuple(wire[0]), tuple(wire[1])))
    changed = zone_changes(truths, (640, 360), "drive", tuple(map(tuple, zone)))
    events = sorted(crossed + changed, key=lambda event: event.time_s)
    shipped = [(event["kind"], event["actor"], event["time_s"]) for event in content["events"]]  # type: ignore[attr-defined]
    assert [(event.kind, event.actor, round(event.time_s, 3)) for event in events] == shipped


@pytest.mark.slow
def test_shipped_video_shows_the_scene(content: dict[str, object]) -> None:
    """Each decoded frame is nearer to its own rendered frame than the codec's loss."""
    video = cv2.VideoCapture(str(DEMO / "street.mp4"))
    renderer = Renderer(demo_scene())
    count = 0
    while video.grab():
        if count % 50 == 20:
            _, image = video.retrieve()
            difference = np.abs(image.astype(int) - renderer.frame(count / 15.0).image.astype(int))
            assert difference.mean() < 4.0
        count += 1
    assert count == content["frames"]


def test_shipped_video_is_small() -> None:
    assert (DEMO / "street.mp4").stat().st_size < 1.2e6
