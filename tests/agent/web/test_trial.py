"""Rules tried on what the page remembers say what the pipeline's own rules said."""

from __future__ import annotations

import threading

import cv2
import numpy as np
import pytest

from agent.assembly import build_pipeline
from agent.config import CameraSettings, Config, load_config
from agent.errors import ConfigError
from agent.pipeline import CameraPipeline, Step
from agent.records import Alert, FloatArray, Phase
from agent.web.camera_view import CameraView
from agent.web.memory import PageMemory
from agent.web.settings import WebSettings
from agent.web.trial import Superseded, draft_of, paths_of, settings_with, try_rules
from tests.conftest import ROOT

DEMO = ROOT / "agent" / "demo" / "demo.yaml"


class Watched:
    """The demo's clip, run to its end with a view beside it."""

    def __init__(self) -> None:
        config: Config = load_config(DEMO)
        self.settings: CameraSettings = config.cameras["street"]
        self.alerts: list[Alert] = []
        self.pipeline: CameraPipeline = build_pipeline("street", self.settings, publish=self.alerts.append)
        self.memory = PageMemory()
        tracks = self.memory.tracks_of("street", 300.0)
        people = config.snapshots.people
        self.view = CameraView(
            "street", self.settings, self.pipeline, WebSettings(), people, tracks, self.memory.incidents
        )
        self.steps: list[Step] = []
        self.pipeline.observers += [self.view, self.steps.append]
        self.pipeline.run(threading.Event())
        self.frames = tracks.frames()


@pytest.fixture(scope="module")
def watched() -> Watched:
    return Watched()


def draft(watched: Watched, place: str, name: str, rule: dict[str, object] | None) -> object:
    section = getattr(watched.settings, f"{place}s")
    points = section[name].points if name in section else ((0.0, 0.45), (1.0, 0.45), (1.0, 1.0), (0.0, 1.0))
    return {"place": place, "name": name, "shape": {"points": points}, "rule": rule}


@pytest.mark.parametrize(
    ("place", "name", "rule"),
    [
        ("zone", "drive", {"kind": "zone"}),
        ("tripwire", "street", {"kind": "tripwire"}),
        ("zone", "drive", None),
    ],
)
def test_trial_of_a_rule_that_runs_finds_what_it_told(
    watched: Watched, place: str, name: str, rule: dict[str, object] | None
) -> None:
    told = [alert for alert in watched.alerts if name in (alert.zone, alert.tripwire)]
    settings = settings_with(watched.settings, draft_of(draft(watched, place, name, rule)))
    trial = try_rules(watched.frames, settings, watched.view.labels)
    assert told
    assert trial["fired"] == len(told)
    end_s = watched.frames[-1].time_s
    assert [event["ago_s"] for event in trial["events"]] == pytest.approx(
        [end_s - alert.started_s for alert in told], abs=0.25
    )
    assert trial["span_s"] == pytest.approx(end_s - watched.frames[0].time_s, abs=0.1)


@pytest.mark.parametrize(
    ("content", "fault"),
    [
        ({"shape": {"points": [[0, 0], [1, 1]]}}, "zones.z.points: expected 3 or more"),
        ({"rule": {"kind": "dwell"}}, "min_s: expected a value"),
        ({"rule": {"kind": "zone", "labels": ["cat"]}}, "cat"),
        ({"name": "../x"}, "name: expected letters"),
        ({"shape": {"points": [[0, 0], [2, 0], [1, 1]]}}, "expected at most 1"),
        ({"colour": "red"}, "colour: expected one of"),
        ({"rule": {"kind": "nothing"}}, "expected kind"),
    ],
)
def test_faulty_draft_is_refused_with_its_place(
    watched: Watched, content: dict[str, object], fault: str
) -> None:
    whole = {**draft(watched, "zone", "z", {"kind": "zone"}), **content}  # type: ignore[dict-item]
    with pytest.raises(ConfigError) as caught:
        try_rules(watched.frames, settings_with(watched.settings, draft_of(whole)), watched.view.labels)
    assert any(fault in line for line in caught.value.faults), caught.value.faults


def test_memory_is_bounded_and_a_trial_that_nobody_waits_for_ends(watched: Watched) -> None:
    rate = len(watched.frames) / (watched.frames[-1].time_s - watched.frames[0].time_s)
    assert 5 <= rate <= 10.5
    memory = PageMemory().tracks_of("street", 2.0)
    for step in watched.steps:
        memory.add(step)
    assert 1.5 < memory.frames()[-1].time_s - memory.frames()[0].time_s <= 2.0
    settings = settings_with(watched.settings, draft_of(draft(watched, "zone", "z", {"kind": "zone"})))
    with pytest.raises(Superseded):
        try_rules(watched.frames, settings, watched.view.labels, lambda: True)
    assert all(len(path) > 1 and min(map(min, path)) >= 0 for path in paths_of(watched.frames))


def test_incidents_hold_what_was_told_and_end_with_a_reload(watched: Watched) -> None:
    incidents = watched.memory.incidents
    told = {alert.incident for alert in watched.alerts if alert.phase is not Phase.END}
    assert {incident.alert.incident for incident in incidents.since(0)} == told
    content = incidents.since(0)[0].as_json()
    assert content["camera"] == "street" and "path" in content["track"] and "device" not in content
    lasting = watched.alerts[0]
    fields = {name: getattr(lasting, name) for name in lasting.__slots__}
    memory = PageMemory()
    memory.incidents.add("street", Alert(**{**fields, "phase": Phase.START}), None)
    assert memory.incidents.since(0)[0].open
    memory.incidents.interrupt()
    assert not memory.incidents.since(0)[0].open


def _heights(step: Step) -> FloatArray:
    """Of the people's boxes; 0 for those of other objects."""
    tracks = step.tracks.visible
    heights: FloatArray = (tracks.boxes[:, 3] - tracks.boxes[:, 1]) * (tracks.labels == 0)
    return heights


def test_nothing_is_kept_or_drawn_while_nobody_looks_and_people_are_hidden_when_somebody_does(
    watched: Watched,
) -> None:
    view = watched.view
    assert view.latest is None and view.rendered == 0
    assert view.labels[0] == "person"
    step = max(watched.steps, key=lambda step: float(_heights(step).max(initial=0.0)))  # the largest person
    message = view.render(step)
    length = int.from_bytes(message[:4], "big")
    jpeg = np.frombuffer(message[4 + length :], np.uint8)
    shown = cv2.imdecode(jpeg, cv2.IMREAD_COLOR)
    assert shown is not None and shown.shape == step.frame.image.shape
    left, top, right, bottom = step.tracks.visible.boxes[_heights(step).argmax()].clip(0).astype(int)
    detail = [
        cv2.Laplacian(image[top:bottom, left:right], cv2.CV_32F).var() for image in (step.frame.image, shown)
    ]
    assert detail[1] < 0.2 * detail[0], "the object can be recognised"
