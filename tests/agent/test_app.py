"""The application when something goes wrong between its start and its end."""

from __future__ import annotations

import json
import logging
import threading
from pathlib import Path

import cv2
import numpy as np
import pytest

from agent.alerts.mqtt import Session
from agent.alerts.settings import BrokerSettings
from agent.app import App
from agent.config import Config, load_config
from agent.detect.motion import MotionDetector
from agent.operations import Operations
from agent.pipeline import Step
from agent.recording import Recording
from agent.rules.engine import RuleEngine
from tests.conftest import Mosquitto, wait_until

CONFIG = """\
device: porch
broker: {{url: "{url}"}}
outbox: {{path: outbox.sqlite}}
cameras:
  front: {{source: clip.avi, detector: {{kind: motion}}}}
  back: {{source: clip.avi, detector: {{kind: motion}}}}
"""
FRAMES = 200


@pytest.fixture
def config(mosquitto: Mosquitto, tmp_path: Path) -> Config:
    video = cv2.VideoWriter(str(tmp_path / "clip.avi"), cv2.VideoWriter.fourcc(*"MJPG"), 10.0, (160, 120))
    for number in range(FRAMES):
        video.write(np.full((120, 160, 3), number % 256, np.uint8))
    video.release()
    path = tmp_path / "edgetrack.yaml"
    path.write_text(CONFIG.format(url=mosquitto.url))
    return load_config(path)


def cameras() -> list[str]:
    return [thread.name for thread in threading.enumerate() if thread.name in ("front", "back")]


def test_what_an_earlier_run_recorded_stays_and_the_next_one_goes_beside_it(
    config: Config, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    kept: dict[Path, bytes] = {}
    for number in range(1, 4):  # as after a reload: a new application on the same folders
        with caplog.at_level(logging.INFO):
            App(config, record=tmp_path / "recorded", annotate=tmp_path / "seen").run(threading.Event())
        mark = "" if number == 1 else f"-{number}"
        recording, video = tmp_path / f"recorded/front{mark}.ndjson", tmp_path / f"seen/front{mark}.mp4"
        assert len(list(Recording(recording))) == FRAMES
        capture = cv2.VideoCapture(str(video))
        assert capture.get(cv2.CAP_PROP_FRAME_COUNT) == FRAMES
        capture.release()
        assert {path: path.read_bytes() for path in kept} == kept
        kept |= {path: path.read_bytes() for path in (recording, video)}
    assert len(list((tmp_path / "recorded").iterdir())) == len(list((tmp_path / "seen").iterdir())) == 6
    assert "recorded/front.ndjson is there already; what is seen now goes to front-2.ndjson" in caplog.text


def test_a_camera_at_one_frame_for_long_stops_neither_itself_nor_the_others(
    config: Config, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    ticks, waited = threading.Event(), threading.Event()
    tick = Operations.tick

    def noted(operations: Operations) -> None:
        monkeypatch.setattr(operations, "_answer_s", 0.2)
        tick(operations)
        ticks.set()

    def slow(step: Step) -> None:
        if step.frame.index == 0:
            assert ticks.wait(60)  # the first one, which waits for this frame in vain
            waited.set()

    monkeypatch.setattr(Operations, "tick", noted)
    summaries = App(config, observers={"front": [slow]}).run(threading.Event())
    assert waited.is_set()
    assert [summary.frames for summary in summaries] == [FRAMES, FRAMES]


@pytest.mark.parametrize("fault", [RuntimeError("in the operations"), KeyboardInterrupt()])
def test_cameras_have_ended_before_what_they_use_is_closed(
    config: Config, monkeypatch: pytest.MonkeyPatch, fault: BaseException
) -> None:
    begun, running_at_close, stop = threading.Event(), [], threading.Event()
    close = MotionDetector.close

    def fail(operations: Operations) -> None:
        assert begun.wait(60)
        raise fault

    def noted(detector: MotionDetector) -> None:
        running_at_close.append(cameras())
        close(detector)

    monkeypatch.setattr(Operations, "running", fail)
    monkeypatch.setattr(MotionDetector, "close", noted)
    with pytest.raises(type(fault)):
        App(config, observers={"front": [lambda step: begun.set()]}).run(stop)
    assert stop.is_set()
    assert running_at_close == [[], []]


def test_a_camera_that_gets_no_thread_leaves_none_of_the_others_behind(
    config: Config, monkeypatch: pytest.MonkeyPatch
) -> None:
    start = threading.Thread.start

    def refuse(thread: threading.Thread) -> None:
        if thread.name == "back":
            raise RuntimeError("can't start new thread")
        start(thread)

    monkeypatch.setattr(threading.Thread, "start", refuse)
    with pytest.raises(RuntimeError, match="can't start new thread"):
        App(config).run(threading.Event())
    assert cameras() == []


def test_camera_that_a_command_paused_is_told_as_paused_from_the_start(
    mosquitto: Mosquitto, tmp_path: Path, closed_port: int
) -> None:
    path = tmp_path / "edgetrack.yaml"
    path.write_text(
        f"device: porch\nbroker: {{url: '{mosquitto.url}'}}\noutbox: {{path: outbox.sqlite}}\n"
        f"cameras: {{front: {{source: 'rtsp://127.0.0.1:{closed_port}/', detector: {{kind: motion}}}}}}\n"
    )
    camera = load_config(path).cameras["front"]
    state = RuleEngine(camera, labels=(), new_id=str).export_state()
    (tmp_path / "rules-porch.json").write_text(json.dumps({"front": {**state, "paused": True}}))
    stop, told = threading.Event(), list[str]()
    session = Session(BrokerSettings(url=mosquitto.url), "watcher").open()
    session.subscribe("edgetrack/porch/front/status")
    app = threading.Thread(target=lambda: App(load_config(path)).run(stop))
    app.start()

    def heard() -> bool:
        told.extend(json.loads(message.payload)["state"] for message in session.step(0.05).messages)
        return bool(told)

    try:
        wait_until(heard, 60, "the camera's state")
    finally:
        stop.set()
        app.join(60)
        session.close()
    assert told[0] == "paused"


def test_device_that_is_renamed_by_a_reload_leaves_nothing_under_its_former_name(
    config: Config, mosquitto: Mosquitto
) -> None:
    App(config).run(threading.Event())
    session = Session(BrokerSettings(url=mosquitto.url), "watcher").open()
    kept: dict[str, bytes] = {}

    def retained() -> set[str]:
        kept.update({message.topic: message.payload for message in session.step(0.05).messages})
        return {topic.split("/")[1] for topic, payload in kept.items() if payload}

    session.subscribe("edgetrack/+/#")
    try:
        wait_until(lambda: retained() == {"porch"}, 60, "what the device retained")
        renamed = config.model_copy(update={"device": "yard"})
        App(renamed, former=config).run(threading.Event())
        wait_until(lambda: retained() == {"yard"}, 60, "the new name alone")
    finally:
        session.close()
