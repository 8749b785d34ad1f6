"""What systemd hears and what signals do: real sockets, real processes, a real run."""

from __future__ import annotations

import io
import logging
import os
import re
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from agent.capture.status import PICTURE_FAULTS, SourceState
from agent.errors import ConfigError
from agent.run_control import RunControl
from agent.service import (
    CameraProgress,
    Notifier,
    ServiceWatch,
    in_journal,
    journal_lines,
)
from tests.awake import AwakeClock
from tests.conftest import wait_until

STREET = Path(__file__).resolve().parents[2] / "agent" / "demo" / "street.mp4"
CONFIG = """\
device: porch
broker: {{url: "mqtt://127.0.0.1:{port}"}}
outbox: {{path: outbox.sqlite}}
cameras:
  front:
    source: rtsp://127.0.0.1:{port}/none
    detector: {{kind: motion}}
    reconnect_max_s: 1.0
"""


class Listener:
    """Stands where systemd stands: the other end of NOTIFY_SOCKET."""

    def __init__(self, address: str) -> None:
        self.address = address
        self.heard: list[str] = []
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self._socket.bind("\0" + address[1:] if address.startswith("@") else address)
        self._socket.setblocking(False)

    def poll(self) -> list[str]:
        while True:
            try:
                self.heard += self._socket.recv(4096).decode().split("\n")
            except BlockingIOError:
                return self.heard

    def has(self, line: str, count: int = 1) -> bool:
        return sum(heard.startswith(line) for heard in self.poll()) >= count

    def close(self) -> None:
        self._socket.close()


@pytest.fixture
def listener(tmp_path: Path) -> Iterator[Listener]:
    listener = Listener(str(tmp_path / "notify"))
    yield listener
    listener.close()


def camera(**values: Any) -> CameraProgress:
    """A camera whose figures a test sets; its thread lives as long as the test."""
    pipeline = SimpleNamespace(
        turns=values.get("turns", 1),
        summary=SimpleNamespace(camera="front", frames=values.get("frames", 0)),
        unseen=0,
        paused=values.get("paused", False),
        reader=SimpleNamespace(
            state=values.get("state", SourceState.ONLINE), hangs_s=values.get("hangs_s", 0.0)
        ),
    )
    settings = SimpleNamespace(stale_after_s=5.0, frozen_after_s=8.0)
    thread = SimpleNamespace(is_alive=lambda: values.get("alive", True))
    begun_s = values.get("begun_s", time.monotonic())
    return CameraProgress(pipeline, thread, settings, _frame_s=begun_s)  # type: ignore[arg-type]


def stats() -> Any:
    return SimpleNamespace(connected=True, queued=3)


@pytest.mark.parametrize("abstract", [False, True])
def test_notifier_sends_one_datagram_to_a_path_or_an_abstract_name(abstract: bool, tmp_path: Path) -> None:
    listener = Listener(f"@edgetrack-{os.getpid()}" if abstract else str(tmp_path / "n"))
    Notifier({"NOTIFY_SOCKET": listener.address}).ready("all well")
    assert listener.poll() == ["READY=1", "STATUS=all well"]
    listener.close()


def test_notifier_without_a_manager_is_silent_and_one_that_is_gone_is_logged_once(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    Notifier({}).ready("nobody hears this")
    assert not caplog.records
    notifier = Notifier({"NOTIFY_SOCKET": str(tmp_path / "gone")})
    notifier.send("WATCHDOG=1")
    notifier.send("WATCHDOG=1")
    assert [record.levelname for record in caplog.records] == ["WARNING"]


@pytest.mark.parametrize(
    ("environment", "expected"),
    [
        ({"WATCHDOG_USEC": "30000000"}, 30.0),
        ({"WATCHDOG_USEC": "30000000", "WATCHDOG_PID": str(os.getpid())}, 30.0),
        ({"WATCHDOG_USEC": "30000000", "WATCHDOG_PID": "1"}, None),
        ({"WATCHDOG_USEC": "0"}, None),
        ({"WATCHDOG_USEC": "soon"}, None),
        ({}, None),
    ],
)
def test_watchdog_period_is_taken_only_when_it_is_meant_for_this_process(
    environment: dict[str, str], expected: float | None
) -> None:
    assert Notifier({"NOTIFY_SOCKET": "/run/n", **environment}).watchdog_s == expected


def test_reloading_tells_the_monotonic_time_that_notify_reload_asks_for(listener: Listener) -> None:
    before_us = time.monotonic_ns() // 1000
    Notifier({"NOTIFY_SOCKET": listener.address}).reloading()
    reloading, stamp = listener.poll()
    assert reloading == "RELOADING=1"
    assert before_us <= int(stamp.removeprefix("MONOTONIC_USEC=")) <= time.monotonic_ns() // 1000


def test_watchdog_is_fed_while_frames_advance(listener: Listener) -> None:
    front = camera()
    watch = ServiceWatch(Notifier({"NOTIFY_SOCKET": listener.address}), [front], stats)
    for number in range(5):
        front.pipeline.turns, front.pipeline.summary.frames = number, number
        assert watch.feed()
    assert listener.poll() == ["WATCHDOG=1"] * 5


def test_watchdog_starves_when_one_of_two_loops_stands_still(
    listener: Listener, caplog: pytest.LogCaptureFixture
) -> None:
    turning, hanging = camera(), camera()
    hanging.pipeline.summary.camera = "back"
    watch = ServiceWatch(Notifier({"NOTIFY_SOCKET": listener.address}), [turning, hanging], stats)
    assert watch.feed()
    for number in range(2, 5):
        turning.pipeline.turns = number
        assert not watch.feed()
    assert listener.poll() == ["WATCHDOG=1"]
    assert [record.message for record in caplog.records] == [
        "camera back: its loop stands still; the watchdog is not fed"
    ]
    turning.pipeline.turns = hanging.pipeline.turns = 9
    assert watch.feed()


def test_camera_whose_frames_wait_for_a_lost_device_is_no_hang() -> None:
    front, now_s = camera(), time.monotonic()
    for number in range(1, 100):
        front.pipeline.turns = front.pipeline.unseen = number
        assert front.fault(now_s + 10.0 * number) is None
    front.pipeline.turns = 100
    assert "without a frame" in str(front.fault(now_s + 1020.0))


@pytest.mark.parametrize("state", [SourceState.CONNECTING, SourceState.LOST, SourceState.FROZEN])
def test_camera_that_is_reported_away_is_no_hang_however_long(state: SourceState) -> None:
    front = camera(state=state)
    for number in range(1, 1000):
        front.pipeline.turns = number
        assert front.fault(time.monotonic() + 60.0 * number) is None


def test_online_camera_without_frames_beyond_its_own_limits_is_a_hang() -> None:
    front = camera(turns=0, begun_s=1000.0)
    front.pipeline.turns = 1
    assert front.fault(1012.9) is None  # frozen_after_s and the margin
    front.pipeline.turns = 2
    assert "online, yet without a frame for 13" in str(front.fault(1013.1))


@pytest.mark.parametrize(("hangs_s", "hang"), [(0.0, False), (250.0, False), (310.0, True)])
def test_camera_that_a_driver_of_this_process_keeps_is_a_hang_in_time(hangs_s: float, hang: bool) -> None:
    front = camera(state=SourceState.LOST, hangs_s=hangs_s)
    front.pipeline.turns = 2
    said = "camera front: lost, and its driver hangs for 310 s" if hang else None
    assert front.fault(time.monotonic()) == said


@pytest.mark.parametrize("state", PICTURE_FAULTS)
def test_camera_with_a_bad_picture_is_fed_while_frames_come_and_no_longer(state: SourceState) -> None:
    front, now_s = camera(state=state), time.monotonic()
    for number in range(1, 100):
        front.pipeline.turns = front.pipeline.summary.frames = number
        assert front.fault(now_s + number) is None
    front.pipeline.turns = 100
    assert "without a frame" in str(front.fault(now_s + 120.0))


def test_paused_camera_is_no_hang() -> None:
    front = camera(paused=True)
    for number in range(1, 100):
        front.pipeline.turns = number
        assert front.fault(time.monotonic() + 60.0 * number) is None


def test_ended_camera_neither_starves_the_watchdog_nor_holds_up_ready() -> None:
    front = camera(alive=False, turns=0)
    assert front.started
    assert front.fault(time.monotonic() + 1e6) is None
    assert str(front) == "front ended"


def test_ready_waits_for_every_loop_and_status_names_rates_broker_and_queue(listener: Listener) -> None:
    front = camera(turns=0)
    watch = ServiceWatch(Notifier({"NOTIFY_SOCKET": listener.address}), [front], stats)
    with watch.running():
        assert not listener.has("READY=1")
        front.pipeline.summary.frames = 10
        front.pipeline.turns = 1
        wait_until(lambda: listener.has("READY=1"))
    status = next(line for line in listener.heard if line.startswith("STATUS="))
    assert status.startswith("STATUS=front ")
    assert status.endswith(" frames/s, broker connected, 3 alerts queued")


def test_every_line_of_a_message_gets_its_level_for_the_journal() -> None:
    assert journal_lines("one\ntwo", logging.ERROR) == "<3>one\n<3>two"
    levels = (logging.CRITICAL, logging.WARNING, logging.INFO, logging.DEBUG)
    assert [journal_lines("x", level)[1] for level in levels] == ["2", "4", "6", "7"]


def test_journal_is_recognised_by_device_and_inode_only(tmp_path: Path) -> None:
    with (tmp_path / "log").open("w") as stream:
        status = os.fstat(stream.fileno())
        own = {"JOURNAL_STREAM": f"{status.st_dev}:{status.st_ino}"}
        assert in_journal(stream, own)
        assert not in_journal(stream, {"JOURNAL_STREAM": f"{status.st_dev}:{status.st_ino + 1}"})
        assert not in_journal(stream, {})
    assert not in_journal(io.StringIO(), own)
    assert not in_journal(stream, own)  # closed


LOGGING = """
import logging
from agent.service import configure_logging
configure_logging()
logging.getLogger("edgetrack").warning("broker %s: away", "b")
"""


def test_log_lines_tell_local_time_with_its_offset() -> None:
    before_s = int(time.time())
    done = subprocess.run(
        [sys.executable, "-c", LOGGING],
        env={**os.environ, "TZ": "Asia/Kolkata"},
        capture_output=True,
        text=True,
        check=True,
    )
    stamp, _, rest = done.stderr.partition(" ")
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\+05:30", stamp), done.stderr
    assert before_s <= datetime.fromisoformat(stamp).timestamp() <= time.time()
    assert rest == "WARNING broker b: away\n"


def test_log_lines_for_the_journal_leave_time_to_it(tmp_path: Path) -> None:
    with (tmp_path / "log").open("w") as stream:
        status = os.fstat(stream.fileno())
        journal = {"JOURNAL_STREAM": f"{status.st_dev}:{status.st_ino}"}
        subprocess.run(
            [sys.executable, "-c", LOGGING], env={**os.environ, **journal}, stderr=stream, check=True
        )
    assert (tmp_path / "log").read_text() == "<4>broker b: away\n"


@contextmanager
def control(check: Callable[[], int]) -> Iterator[RunControl[int]]:
    control = RunControl(check, Notifier({}))
    with control.on_signals():
        yield control


def test_hangup_stops_the_run_for_the_new_configuration_and_stop_signal_wins(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(sys, "stdin", None)
    with control(lambda: 7) as run:
        os.kill(os.getpid(), signal.SIGHUP)
        assert run.stop.wait(30)
        assert run.take_new() == 7
        assert not run.stop.is_set()
        assert run.take_new() is None
        os.kill(os.getpid(), signal.SIGHUP)
        assert run.stop.wait(30)
        os.kill(os.getpid(), signal.SIGTERM)
        wait_until(lambda: run.ending)
        assert run.take_new() is None
        assert run.stop.is_set()


def test_second_signal_to_stop_forces_the_end_only_a_second_after_the_first() -> None:
    with control(lambda: 7) as run:
        first_s = time.monotonic()
        signal.raise_signal(signal.SIGTERM)
        signal.raise_signal(signal.SIGTERM)
        signal.raise_signal(signal.SIGINT)
        assert run.stop.is_set()
        wait_until(lambda: time.monotonic() - first_s > 1.0, what="a second")
        with pytest.raises(KeyboardInterrupt):
            signal.raise_signal(signal.SIGTERM)


def test_bad_configuration_on_hangup_is_logged_whole_and_stops_nothing(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(sys, "stdin", None)
    checked = threading.Event()

    def check() -> int:
        checked.set()
        raise ConfigError("c.yaml:1", "bad", faults=("c.yaml:1 a: bad", "c.yaml:2 b: worse"))

    with control(check) as run:
        os.kill(os.getpid(), signal.SIGHUP)
        assert checked.wait(30)
        wait_until(lambda: "refused" in caplog.text)
        assert not run.stop.is_set()
    errors = [record.message for record in caplog.records if record.levelno == logging.ERROR]
    assert errors[:2] == ["c.yaml:1 a: bad", "c.yaml:2 b: worse"]


def test_real_run_is_ready_fed_reloaded_and_stopped_within_five_seconds(
    tmp_path: Path, listener: Listener, closed_port: int
) -> None:
    port = closed_port  # camera and broker are both away
    config = tmp_path / "edgetrack.yaml"
    config.write_text(CONFIG.format(port=port))
    environment = {**os.environ, "NOTIFY_SOCKET": listener.address, "WATCHDOG_USEC": "800000"}
    run = subprocess.Popen(
        [sys.executable, "-m", "agent.cli", "run", str(config)],
        env=environment,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
    )
    try:
        wait_until(lambda: listener.has("READY=1"), 60, "READY=1")
        wait_until(lambda: listener.has("STATUS=front lost, broker away, 0 alerts queued"), 90, "status")
        fed = len([line for line in listener.poll() if line == "WATCHDOG=1"])
        wait_until(lambda: listener.has("WATCHDOG=1", fed + 5), 90, "the watchdog fed with the camera away")
        config.write_text(CONFIG.format(port=port).replace("motion", "motoin"))
        run.send_signal(signal.SIGHUP)
        wait_until(lambda: listener.has("STATUS=the new configuration is refused"), 90, "refusal")
        config.write_text(CONFIG.format(port=port).replace("front:", "back:"))
        run.send_signal(signal.SIGHUP)
        wait_until(lambda: listener.has("STATUS=back "), 90, "the new configuration")
        assert listener.has("RELOADING=1", 2)
        assert listener.has("READY=1", 3)
        awake = AwakeClock()
        started_s = awake.now_s()
        run.send_signal(signal.SIGTERM)
        _, log = run.communicate(timeout=60)
        stop_s = awake.now_s() - started_s
        awake.close()
    finally:
        run.kill()
        run.communicate()
    assert run.returncode == 0, log
    assert stop_s < 5.0
    assert listener.has("STOPPING=1")
    assert "edgetrack.yaml:7 cameras.front.detector.kind: expected 'tflite' or 'motion', got 'motoin'" in log
    assert "Traceback" not in log


# `edgetrack-agent run`, whose camera hangs at its first frame.
HANGING = """
import threading
from agent import app

class Hanging(app.App):
    def __init__(self, config, **options):
        super().__init__(config, observers={"front": [lambda step: threading.Event().wait()]}, **options)

app.App = Hanging
from agent.cli import main
main()
"""


def test_run_whose_loop_hangs_is_not_fed(tmp_path: Path, listener: Listener, closed_port: int) -> None:
    config = tmp_path / "edgetrack.yaml"
    config.write_text(
        CONFIG.format(port=closed_port).replace(f"rtsp://127.0.0.1:{closed_port}/none", str(STREET))
    )
    with subprocess.Popen(
        [sys.executable, "-c", HANGING, "run", str(config)],
        env={**os.environ, "NOTIFY_SOCKET": listener.address, "WATCHDOG_USEC": "800000"},
        stdin=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
    ) as run:
        try:
            assert run.stderr is not None
            assert any("its loop stands still; the watchdog is not fed" in line for line in run.stderr)
            fed = listener.poll().count("WATCHDOG=1")
            assert fed >= 2, "at the start, and once that its loop had turned"
            quiet_since = time.monotonic()
            wait_until(lambda: time.monotonic() - quiet_since > 1.6, what="two periods")
            assert listener.poll().count("WATCHDOG=1") == fed
            run.send_signal(signal.SIGABRT)
            log = run.stderr.read()
        finally:
            run.kill()
    assert run.returncode == -signal.SIGABRT
    assert "Thread 0x" in log  # where each thread was
