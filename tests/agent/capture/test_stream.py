from __future__ import annotations

import re
import socket
import time
from collections.abc import Callable

import numpy as np
import pytest

from agent.capture.reader import FrameReader, SourceState, SourceStatus
from agent.capture.settings import SourceSettings
from agent.capture.source import open_source
from agent.errors import SourceError
from tests.awake import AwakeClock

Wait = Callable[..., None]


def settings_for(url: str, **keys: object) -> SourceSettings:
    """Back soon, and neither stale nor frozen unless asked for."""
    well = {
        "stale_after_s": 60.0,
        "frozen_after_s": 60.0,
        "picture_fault_after_s": 0,
        "reconnect_min_s": 0.05,
        "reconnect_max_s": 0.2,
    }
    return SourceSettings(source=url, **(well | keys))  # type: ignore[arg-type]


class Watched:
    """A reader on a stream, with what it reported and when."""

    def __init__(self, settings: SourceSettings, awake: AwakeClock) -> None:
        self.reports: list[tuple[float, SourceStatus]] = []
        self._awake = awake
        self.reader: FrameReader[None] = FrameReader(
            lambda: open_source(settings), settings, camera="front", on_status=self._note
        )
        self.reader.start()

    def _note(self, status: SourceStatus) -> None:
        self.reports.append((self._awake.now_s(), status))

    @property
    def states(self) -> list[SourceState]:
        return [status.state for _, status in self.reports]


@pytest.fixture
def watch(
    request: pytest.FixtureRequest, awake: AwakeClock, wait_until: Wait
) -> Callable[[SourceSettings], Watched]:
    """Watch a stream; it is online then."""

    def make(settings: SourceSettings) -> Watched:
        watched = Watched(settings, awake)
        request.addfinalizer(watched.reader.close)
        wait_until(lambda: SourceState.ONLINE in watched.states and watched.reader.frames > 5)
        return watched

    return make


def test_stream_delivers_pictures_of_now(mjpeg_camera, read_number) -> None:  # type: ignore[no-untyped-def]
    source = open_source(settings_for(mjpeg_camera.url, width=160))
    assert source.live
    assert source.frame_count is None
    moments = [(time.monotonic(), time.time())]
    frames = []
    for _ in range(10):
        frames.append(source.read())
        moments.append((time.monotonic(), time.time()))
    source.close()
    numbers = [read_number(frame.image) for frame in frames]
    assert [number - numbers[0] for number in numbers] == list(range(10))
    assert frames[-1].size == (160, 120)
    for frame, before, after in zip(frames, moments, moments[1:], strict=False):
        assert before[0] <= frame.time_s <= after[0]
        assert before[1] <= frame.wall_s <= after[1]


def test_rate_of_a_stream_is_thinned_out(mjpeg_camera) -> None:  # type: ignore[no-untyped-def]
    source = open_source(settings_for(mjpeg_camera.url, fps=10))
    times = [source.read().time_s for _ in range(20)][1:]
    source.close()
    assert np.median(np.diff(times)) == pytest.approx(0.1, rel=0.3)
    assert (times[-1] - times[0]) / 18 > 0.07


def test_dropped_connection_is_reported_and_reopened(mjpeg_camera, watch, wait_until: Wait) -> None:  # type: ignore[no-untyped-def]
    watched = watch(settings_for(mjpeg_camera.url))
    mjpeg_camera.away.set()
    wait_until(lambda: watched.states.count(SourceState.LOST) >= 2)
    mjpeg_camera.away.clear()
    wait_until(lambda: watched.reader.state is SourceState.ONLINE)
    before = watched.reader.frames
    wait_until(lambda: watched.reader.frames > before + 5)
    wait_until(lambda: watched.states[-1] is SourceState.ONLINE)
    assert watched.states[:3] == [SourceState.CONNECTING, SourceState.ONLINE, SourceState.LOST]
    assert watched.states.count(SourceState.ONLINE) == 2
    attempts = [status.attempt for _, status in watched.reports if status.state is SourceState.LOST]
    assert attempts == list(range(1, len(attempts) + 1))
    assert watched.reader.reconnects == len(attempts)


@pytest.mark.parametrize(("fault", "state"), [("silent", SourceState.LOST), ("frozen", SourceState.FROZEN)])
def test_silent_or_frozen_stream_is_noticed_in_time_and_recovers(  # type: ignore[no-untyped-def]
    mjpeg_camera, watch, wait_until: Wait, awake: AwakeClock, fault: str, state: SourceState
) -> None:
    after_s = 4.0  # more than a machine stands still
    watched = watch(settings_for(mjpeg_camera.url, stale_after_s=after_s, frozen_after_s=after_s))
    began_s = awake.now_s()
    getattr(mjpeg_camera, fault).set()
    wait_until(lambda: state in watched.states)
    assert watched.states == [SourceState.CONNECTING, SourceState.ONLINE, state]
    told_s, status = watched.reports[-1]
    assert told_s - began_s < after_s + 0.6
    waited = re.search(r"for (\d+\.\d) s$", status.reason)
    assert waited is not None and float(waited[1]) >= 0.9 * after_s
    getattr(mjpeg_camera, fault).clear()
    wait_until(lambda: watched.states[-1] is SourceState.ONLINE)
    assert mjpeg_camera.connections >= 2
    assert watched.states.count(SourceState.ONLINE) == 2


def test_frozen_stream_stays_frozen_over_its_reopenings(mjpeg_camera, watch, wait_until: Wait) -> None:  # type: ignore[no-untyped-def]
    watched = watch(settings_for(mjpeg_camera.url, frozen_after_s=0.3))
    mjpeg_camera.frozen.set()
    before = len(watched.states)

    def since() -> list[SourceState]:
        return watched.states[before:]

    # Its connections count from picture 0 again: each shows the same one as the connection before, but for
    # the one that was open, and the one that a machine that stood still made it open meanwhile.
    wait_until(lambda: since().count(SourceState.FROZEN) >= 5)
    third = [n for n, state in enumerate(since()) if state is SourceState.FROZEN][2]
    assert set(since()[third:]) == {SourceState.FROZEN}


def test_stream_away_at_the_start_is_found_when_it_comes(  # type: ignore[no-untyped-def]
    mjpeg_camera, request: pytest.FixtureRequest, awake: AwakeClock, wait_until: Wait
) -> None:
    mjpeg_camera.away.set()
    watched = Watched(settings_for(mjpeg_camera.url), awake)
    request.addfinalizer(watched.reader.close)
    wait_until(lambda: SourceState.LOST in watched.states)
    assert SourceState.ONLINE not in watched.states
    mjpeg_camera.away.clear()
    wait_until(lambda: watched.reader.frames > 0)


def test_unreachable_host_and_refusal_are_told_apart_without_the_password(mjpeg_camera) -> None:  # type: ignore[no-untyped-def]
    with socket.socket() as taken:  # bound, so that nobody else listens there
        taken.bind(("127.0.0.1", 0))
        port = taken.getsockname()[1]
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
