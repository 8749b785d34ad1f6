from __future__ import annotations

import socket
import time
from collections.abc import Callable

import pytest

from agent.capture.reader import FrameReader, SourceState, SourceStatus
from agent.capture.settings import SourceSettings
from agent.capture.source import open_source
from agent.errors import SourceError

Wait = Callable[..., None]


def settings_for(url: str, **keys: object) -> SourceSettings:
    quick = {"stale_after_s": 1.0, "frozen_after_s": 1.0, "reconnect_min_s": 0.05, "reconnect_max_s": 0.2}
    return SourceSettings(source=url, **(quick | keys))  # type: ignore[arg-type]


class Watched:
    """A reader on a stream, with what it reported and when."""

    def __init__(self, settings: SourceSettings) -> None:
        self.reports: list[tuple[float, SourceStatus]] = []
        self.reader: FrameReader[None] = FrameReader(
            lambda: open_source(settings), settings, camera="front", on_status=self._note
        )
        self.reader.start()

    def _note(self, status: SourceStatus) -> None:
        self.reports.append((time.monotonic(), status))

    @property
    def states(self) -> list[SourceState]:
        return [status.state for _, status in self.reports]

    def since(self, state: SourceState, moment_s: float) -> float:
        return next(at for at, status in self.reports if status.state is state and at >= moment_s) - moment_s


@pytest.fixture
def watch(request: pytest.FixtureRequest) -> Callable[[SourceSettings], Watched]:
    def make(settings: SourceSettings) -> Watched:
        watched = Watched(settings)
        request.addfinalizer(watched.reader.close)
        return watched

    return make


def test_stream_delivers_pictures_of_now(mjpeg_camera, read_number) -> None:  # type: ignore[no-untyped-def]
    source = open_source(settings_for(mjpeg_camera.url, width=160))
    assert source.live
    assert source.frame_count is None
    frames = [source.read() for _ in range(10)]
    source.close()
    numbers = [read_number(frame.image) for frame in frames]
    assert [number - numbers[0] for number in numbers] == list(range(10))
    assert frames[-1].size == (160, 120)
    assert abs(frames[-1].time_s - time.monotonic()) < 1.0
    assert abs(frames[-1].wall_s - time.time()) < 1.0


def test_rate_of_a_stream_is_thinned_out(mjpeg_camera) -> None:  # type: ignore[no-untyped-def]
    source = open_source(settings_for(mjpeg_camera.url, fps=10))
    frames = [source.read() for _ in range(10)]
    source.close()
    assert (frames[-1].time_s - frames[1].time_s) / 8 == pytest.approx(0.1, rel=0.3)


def test_dropped_connection_is_reported_and_reopened(mjpeg_camera, watch, wait_until: Wait) -> None:  # type: ignore[no-untyped-def]
    watched = watch(settings_for(mjpeg_camera.url))
    wait_until(lambda: watched.reader.frames > 5)
    mjpeg_camera.away.set()
    wait_until(lambda: watched.states.count(SourceState.LOST) >= 2)
    mjpeg_camera.away.clear()
    wait_until(lambda: watched.reader.state is SourceState.ONLINE)
    before = watched.reader.frames
    wait_until(lambda: watched.reader.frames > before + 5)
    assert watched.states[:3] == [SourceState.CONNECTING, SourceState.ONLINE, SourceState.LOST]
    assert watched.states[-1] is SourceState.ONLINE
    assert watched.states.count(SourceState.ONLINE) == 2
    attempts = [status.attempt for _, status in watched.reports if status.state is SourceState.LOST]
    assert attempts == list(range(1, len(attempts) + 1))
    assert watched.reader.reconnects == len(attempts)


@pytest.mark.parametrize(("fault", "state"), [("silent", SourceState.LOST), ("frozen", SourceState.FROZEN)])
def test_silent_or_frozen_stream_is_noticed_in_time_and_recovers(  # type: ignore[no-untyped-def]
    mjpeg_camera, watch, wait_until: Wait, fault: str, state: SourceState
) -> None:
    watched = watch(settings_for(mjpeg_camera.url))
    wait_until(lambda: watched.reader.frames > 5)
    began_s = time.monotonic()
    getattr(mjpeg_camera, fault).set()
    wait_until(lambda: watched.reader.state is state)
    assert 0.5 < watched.since(state, began_s) < 1.6
    getattr(mjpeg_camera, fault).clear()
    wait_until(lambda: watched.reader.state is SourceState.ONLINE, 15.0)
    assert mjpeg_camera.connections >= 2
    assert watched.states.count(SourceState.ONLINE) == 2


def test_frozen_stream_stays_frozen_over_its_reopenings(mjpeg_camera, watch, wait_until: Wait) -> None:  # type: ignore[no-untyped-def]
    watched = watch(settings_for(mjpeg_camera.url, frozen_after_s=0.3))
    wait_until(lambda: watched.reader.frames > 5)
    mjpeg_camera.frozen.set()
    # Its connections count from picture 0 again: each shows the same one as the connection before.
    wait_until(lambda: watched.states.count(SourceState.FROZEN) >= 3)
    first = watched.states.index(SourceState.FROZEN)
    assert watched.states[first:].count(SourceState.ONLINE) <= 1


def test_stream_away_at_the_start_is_found_when_it_comes(mjpeg_camera, watch, wait_until: Wait) -> None:  # type: ignore[no-untyped-def]
    mjpeg_camera.away.set()
    watched = watch(settings_for(mjpeg_camera.url))
    wait_until(lambda: SourceState.LOST in watched.states)
    assert SourceState.ONLINE not in watched.states
    mjpeg_camera.away.clear()
    wait_until(lambda: watched.reader.frames > 0)


def test_unreachable_host_and_refusal_are_told_apart_without_the_password(mjpeg_camera) -> None:  # type: ignore[no-untyped-def]
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    with pytest.raises(SourceError, match=rf"cannot reach port {port}: Connection refused") as away:
        open_source(settings_for(f"http://admin:hunter2@127.0.0.1:{port}/video"))
    mjpeg_camera.away.set()
    url = mjpeg_camera.url.replace("http://", "http://admin:hunter2@") + "?pwd=hunter2"
    with pytest.raises(
        SourceError, match="got a refusal or no video; check path, user and password"
    ) as refused:
        open_source(settings_for(url))
    assert "hunter2" not in str(away.value) + str(refused.value)


@pytest.mark.parametrize("host", ["cam..local", f"{'a' * 64}.local", "cam\u3002\u3002local"])
def test_a_name_that_no_host_can_have_is_a_source_that_is_away_and_no_fault_of_ours(host: str) -> None:
    with pytest.raises(SourceError, match=r"cannot reach port 554: .*; check address and network"):
        open_source(settings_for(f"rtsp://{host}/stream"))


@pytest.mark.parametrize("mark", ["/", "?", "#"])
def test_no_part_of_a_password_is_shown_that_was_not_escaped(mark: str) -> None:
    with pytest.raises(SourceError) as refused:
        open_source(settings_for(f"rtsp://localhost:1{mark}hunter2@127.0.0.1:1/x"))
    assert "cannot reach the host: Connection refused; escape special characters" in str(refused.value)
    assert "port" not in str(refused.value) and "hunter2" not in str(refused.value)
