from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from agent.recording import RecordedFrame, Recording, RecordingHeader, RecordingWriter
from agent.rules.replay import alert_line, explain_alert, replay
from agent.rules.settings import RulesSettings
from agent.rules.trace import Decision, Trace

SCENE = {
    "zones": {"square": {"points": [[0.3, 0.4], [0.7, 0.4], [0.7, 0.8], [0.3, 0.8]]}},
    "tripwires": {"gate": {"points": [[0.1, 0.5], [0.9, 0.5]]}},
    "rules": [
        {"kind": "zone", "zone": "square", "when": ["enter", "leave", "inside"], "min_age_s": 1.0},
        {"kind": "tripwire", "tripwire": "gate"},
        {"kind": "dwell", "zone": "square", "min_s": 5.0},
        {"kind": "speed", "above_px_s": 40.0},
        {"kind": "crowd", "min_count": 3},
        {"kind": "stopped", "min_s": 5.0},
        {"kind": "zone", "name": "cars", "zone": "square", "labels": ["car"]},
    ],
}
LABELS = ("person", "car")


def recorded(pets: Any) -> list[RecordedFrame]:
    return [
        RecordedFrame(time_s, 1.7e9 + time_s, index, pets.size, None, tracks)
        for index, (time_s, tracks) in enumerate(pets.frames())
    ]


@pytest.mark.data
def test_the_same_recording_gives_byte_identical_alerts_as_live_and_again(pets: Any, tmp_path: Path) -> None:
    settings = RulesSettings.model_validate(SCENE)
    live = [alert_line(alert) for alert in replay(recorded(pets), settings, LABELS)]
    path = tmp_path / "square.ndjson"
    with RecordingWriter(path, RecordingHeader("square", LABELS)) as writer:
        for frame in recorded(pets):
            writer.write(frame)
    recording = Recording(path)
    for _ in range(2):
        again = [alert_line(alert) for alert in replay(recording, settings, recording.header.labels)]
        assert again == live
    assert len(live) > 100


@pytest.mark.data
def test_a_decision_can_be_explained_and_so_can_silence(pets: Any) -> None:
    trace = Trace()
    alerts = list(replay(recorded(pets), RulesSettings.model_validate(SCENE), LABELS, trace=trace))
    dwell = next(alert for alert in alerts if alert.kind == "dwell")
    decisions = explain_alert(trace, dwell)
    assert decisions[-1].step == "began dwell"
    assert decisions[-1].values["duration_s"] >= 5.0
    assert decisions[-1].time_s == dwell.time_s
    cars = trace.of("cars")
    assert cars
    assert all(decision.values.get("label") == "person" for decision in cars)
    short = [decision.values for decision in trace.of("dwell-square") if decision.step == "left too soon"]
    assert short
    assert all(0 <= values["stayed_s"] < values["min_s"] == 5.0 for values in short)
    slow = [decision.values for decision in trace.of("speed") if decision.step == "never fast enough"]
    assert slow
    assert all(0 < values["fastest_px_s"] <= values["above_px_s"] == 40.0 for values in slow)
    restless = [
        decision.values for decision in trace.of("stopped") if decision.step == "never rested long enough"
    ]
    assert restless
    assert all(0 < values["longest_s"] < values["min_s"] == 5.0 for values in restless)
    waits = [decision for decision in trace.of("zone-square") if decision.step == "waits"]
    assert waits
    assert all(decision.values["age_s"] < 1.0 for decision in waits)
    assert str(decisions[-1]).startswith(
        f"{dwell.time_s:.3f} s dwell-square track {dwell.track.id}: began dwell"
    )


def test_the_trace_is_bounded() -> None:
    trace = Trace(3)
    for number in range(10):
        trace.add(Decision(float(number), "rule", None, "step", {}))
    assert [decision.time_s for decision in trace] == [7.0, 8.0, 9.0]


def test_a_recording_of_detections_only_is_refused() -> None:
    frame = RecordedFrame(0.0, 0.0, 3, (10, 10))
    with pytest.raises(ValueError, match="frame 3: expected tracks, got detections only"):
        list(replay([frame], RulesSettings(), ()))


@pytest.mark.data
def test_numbers_in_evidence_are_plain_json(pets: Any) -> None:
    for alert in replay(recorded(pets)[:200], RulesSettings.model_validate(SCENE), LABELS):
        assert not any(isinstance(value, np.generic) for value in alert.evidence.values())
