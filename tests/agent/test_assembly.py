"""The stages of a camera where a runtime for models is missing."""

from __future__ import annotations

import logging
import sys

import numpy as np
import pytest

from agent import assembly
from agent.assembly import build_tracker
from agent.errors import ModelError
from agent.records import Detections
from agent.track.settings import TrackerSettings

RUNTIMES = ("ai_edge_litert", "tflite_runtime")


@pytest.fixture
def without_runtime(monkeypatch: pytest.MonkeyPatch) -> None:
    """No TFLite runtime can be imported, as where none is installed."""
    for name in RUNTIMES:
        monkeypatch.setitem(sys.modules, name, None)
        monkeypatch.setitem(sys.modules, f"{name}.interpreter", None)
    assembly._warn_once.cache_clear()


@pytest.mark.usefixtures("without_runtime")
def test_trackers_without_a_runtime_go_on_by_kalman_and_say_so_once(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.WARNING):
        trackers = [build_tracker(TrackerSettings(), ()) for _ in range(2)]
    (line,) = (record.message for record in caplog.records)
    assert line.startswith("runtime: expected ai-edge-litert")
    assert line.endswith("got none; pip install ai-edge-litert; tracks go on without the motion model")
    walker = Detections(np.array([[10, 10, 50, 90]], np.float32), np.array([0.97], np.float32), np.array([0]))
    for tracker in trackers:
        found = [tracker.update(walker, 0.1 * frame, (640, 480)) for frame in range(10)]
        assert len(found[-1]) == 1


@pytest.mark.usefixtures("without_runtime")
def test_tracker_that_asks_for_the_motion_model_is_refused_without_a_runtime() -> None:
    with pytest.raises(ModelError, match=r"runtime: expected ai-edge-litert .*, got none; pip install"):
        build_tracker(TrackerSettings(motion="lstm"), ())


def test_tracker_with_a_runtime_has_the_motion_model(caplog: pytest.LogCaptureFixture) -> None:
    build_tracker(TrackerSettings(motion="lstm"), ())
    build_tracker(TrackerSettings(), ())
    assert caplog.records == []
