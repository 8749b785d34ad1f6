"""A model that motion wakes."""

from __future__ import annotations

import numpy as np
import pytest

from agent.detect.detector import open_detector
from agent.detect.gate import GatedDetector
from agent.detect.motion import MotionFinder
from agent.detect.settings import DetectorSettings, GateSettings, MotionSettings
from agent.detect.tflite_detector import TfliteDetector
from agent.errors import ConfigError
from agent.records import Frame


@pytest.fixture
def gated(small_models):
    settings = DetectorSettings(
        model=small_models / "bright.tflite", threads=1, gate=GateSettings(hold_s=1.0, refresh_s=4.0)
    )
    detector = open_detector(settings)
    assert isinstance(detector, GatedDetector)
    return detector


def street(n: int, fps: float = 10.0) -> Frame:
    """A lamp that is always lit, and one that wanders from second 3 to second 4."""
    image = np.zeros((256, 256, 3), np.uint8)
    image[0:32, 0:32] = 255
    if 30 <= n < 40:
        left = 64 + 8 * (n - 30)
        image[128:160, left : left + 32] = 255
    return Frame(image, n / fps, 0.0, n)


def test_the_model_looks_while_something_moves_and_now_and_then_else(gated, monkeypatch):
    looked = []
    invoke = TfliteDetector.invoke
    monkeypatch.setattr(
        TfliteDetector, "invoke", lambda self, p: (looked.append(p.time_s), invoke(self, p))[1]
    )
    counts = [len(gated.detect(street(n))) for n in range(90)]
    assert looked[0] == 0.0
    assert all(time_s in looked for time_s in np.arange(30, 45) / 10)  # moving, and held for a second
    still = [time_s for time_s in looked if time_s < 2.9 or time_s > 5.5]
    assert len(still) == 2  # the first frame, and one four seconds after the last look
    assert min(counts) == 1  # the lamp that stands still is never forgotten
    assert max(counts[30:40]) == 2
    assert counts[-1] == 1


def test_what_left_during_a_pause_is_gone_with_the_first_frame_after_it(gated):
    for n in range(36):
        found = gated.detect(street(n))
    assert len(found) == 2
    for n in range(36, 70):  # as in a pause: the reader prepares, nobody invokes or decodes
        gated.prepare(street(n))
    assert len(gated.detect(street(70))) == 1


def test_a_look_that_is_dropped_on_its_way_is_made_up_for(gated):
    for n in range(20):
        found = gated.detect(street(n))
    dropped = gated.prepare(street(40))
    assert dropped.input is not None  # due, four seconds after the only look
    assert len(gated.detect(street(41))) == len(found) == 1  # which came instead
    prepared = gated.prepare(street(42))
    assert prepared.input is not None
    gated.invoke(prepared)
    assert len(gated.decode(prepared)) == 1
    assert gated.prepare(street(43)).input is None


@pytest.mark.parametrize("fps", [10.0, 1.0])
def test_the_same_frames_of_a_file_are_looked_at_however_far_ahead_they_are_prepared(gated, fps):
    def looks(ahead: int) -> list[float]:
        gate = GatedDetector(gated._detector, gated._settings, MotionFinder(MotionSettings()))
        looked, waiting = [], []
        for n in range(90):
            waiting.append(gate.prepare(street(n, fps)))
            if waiting[-1].input is not None:
                looked.append(n)
            while len(waiting) > ahead:
                gate.invoke(waiting[0])
                gate.decode(waiting.pop(0))
        return looked

    at_once = looks(0)
    assert len(at_once) < 60
    assert looks(2) == looks(4) == at_once


def test_a_recurrent_model_is_not_gated(small_models):
    with pytest.raises(ConfigError, match=r"detector\.gate: expected a model without states"):
        open_detector(DetectorSettings(model=small_models / "slow.tflite", gate=GateSettings()))
