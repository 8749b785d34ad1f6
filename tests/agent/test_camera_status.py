"""What a real broker is told of a camera and of the device that its model runs on."""

from __future__ import annotations

import json
import subprocess
from typing import Any

from agent.alerts.publisher import AlertPublisher
from agent.alerts.settings import BrokerSettings, OutboxSettings
from agent.camera_status import CameraStatus
from agent.capture.status import SourceState, SourceStatus
from agent.detect.device_status import DeviceState, DeviceStatus
from tests.conftest import wait_until

ONLINE = DeviceStatus("usb:0", DeviceState.ONLINE, "person_edgetpu.tflite")
GONE = DeviceStatus("usb:0", DeviceState.FALLBACK, "person.tflite", "device usb:0: gone", 1, 0.71, 1)
STILL_GONE = DeviceStatus("usb:0", DeviceState.FALLBACK, "person.tflite", "device usb:0: gone", 2, 1.4, 1)
BACK = DeviceStatus("usb:0", DeviceState.ONLINE, "person_edgetpu.tflite", attempt=2, faults=1)


def test_source_and_device_are_published_together_and_a_lost_device_is_an_alert(mosquitto, tmp_path):
    outbox = OutboxSettings(path=tmp_path / "outbox.sqlite")
    words = ["mosquitto_sub", "-p", str(mosquitto.port), "-q", "1", "-i", "listener", "-c", "-W", "120"]
    topics = ["-t", "edgetrack/porch/front/status", "-t", "edgetrack/porch/agent/alerts"]
    # A session that the broker keeps, so that nothing is missed however slowly the next one starts.
    subprocess.run([*words, "-E", *topics], check=True, timeout=120)
    with AlertPublisher(BrokerSettings(url=mosquitto.url), outbox, "porch") as publisher:
        status = CameraStatus(publisher, "front")
        status.on_device(ONLINE)
        status.on_source(SourceStatus("front", SourceState.ONLINE))
        for report in (GONE, STILL_GONE, BACK):
            status.on_device(report)
        status.set_state("stopped")
        assert publisher.drain(60)
    alerts: list[dict[str, Any]] = []
    state: dict[str, Any] = {}
    reading = [*words, "-F", "%t %p", *topics]
    with subprocess.Popen(reading, stdout=subprocess.PIPE, text=True) as listener:
        assert listener.stdout is not None
        for line in listener.stdout:  # ends by -W
            topic, text = line.split(" ", 1)
            if topic.endswith("/alerts"):
                alerts.append(json.loads(text))
            else:
                state = json.loads(text)
            if len(alerts) == 2 and state.get("state") == "stopped":
                break
        listener.terminate()
    told = [(alert["kind"], alert["evidence"]["state"], alert["evidence"]["camera"]) for alert in alerts]
    assert told == [("device", "fallback", "front"), ("device", "online", "front")]
    assert alerts[0]["evidence"]["reason"] == "device usb:0: gone"
    assert state["state"] == "stopped"
    assert state["device"] == {
        "name": "usb:0",
        "state": "online",
        "model": "person_edgetpu.tflite",
        "reason": "",
        "attempt": 2,
        "next_try_s": 0.0,
        "faults": 1,
    }


def test_camera_that_is_resumed_is_online_only_if_its_source_is(mosquitto, tmp_path):
    outbox = OutboxSettings(path=tmp_path / "outbox.sqlite")
    topic = "edgetrack/porch/front/status"
    listening = ["mosquitto_sub", "-p", str(mosquitto.port), "-t", topic, "-C", "4", "-W", "120"]
    with subprocess.Popen(listening, stdout=subprocess.PIPE, text=True) as listener:
        with AlertPublisher(BrokerSettings(url=mosquitto.url), outbox, "porch") as publisher:
            status = CameraStatus(publisher, "front")
            heard = []
            assert listener.stdout is not None
            black = SourceStatus("front", SourceState.BLACK, "the picture is black")
            for change in (
                lambda: status.on_source(black),
                lambda: status.set_state("paused"),
                lambda: status.set_state("online"),
            ):
                change()
                line = listener.stdout.readline()
                while heard and json.loads(line)["state"] == heard[-1]["state"]:
                    line = listener.stdout.readline()
                heard.append(json.loads(line))
        listener.terminate()
    assert [state["state"] for state in heard] == ["black", "paused", "black"]
    assert heard[-1]["reason"] == "the picture is black"


def test_paused_camera_whose_source_comes_back_stays_paused_until_it_is_resumed(mosquitto, tmp_path):
    outbox = OutboxSettings(path=tmp_path / "outbox.sqlite")
    listening = ["mosquitto_sub", "-p", str(mosquitto.port), "-t", "edgetrack/porch/front/status", "-C", "1"]

    def retained() -> dict[str, Any]:
        for _ in range(2):  # the first may go out before a state that was told just now, the second not
            publisher.publish_notice("test", {})
            assert publisher.drain(60)
        done = subprocess.run([*listening, "-W", "120"], capture_output=True, check=True)
        state: dict[str, Any] = json.loads(done.stdout)
        return state

    with AlertPublisher(BrokerSettings(url=mosquitto.url), outbox, "porch") as publisher:
        wait_until(lambda: publisher.stats.connected)
        status = CameraStatus(publisher, "front")
        status.on_source(SourceStatus("front", SourceState.ONLINE))
        status.set_state("paused")
        status.on_source(SourceStatus("front", SourceState.LOST, "no frame for 5.0 s", 1, 1.7))
        status.on_device(ONLINE)
        status.on_source(SourceStatus("front", SourceState.ONLINE, "back"))
        paused = retained()
        assert (paused["state"], paused["device"]["state"]) == ("paused", "online")
        status.set_state("online")
        resumed = retained()
        assert (resumed["state"], resumed["reason"]) == ("online", "back")
