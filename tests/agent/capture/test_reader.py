from __future__ import annotations

import logging
import random
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from agent.capture.picamera import PicameraSource
from agent.capture.picamera_fake import FakePicamera2
from agent.capture.reader import FrameReader, SourceState, SourceStatus
from agent.capture.settings import SourceSettings
from agent.capture.source import SourceSetupError, open_source
from agent.errors import SourceError
from agent.records import Frame
from tests.agent.capture.conftest import SetClock
from tests.awake import AwakeClock

Wait = Callable[..., None]
LONG_S = 60.0
"""For what comes at once, however slow the machine."""
FILE = SourceSettings(source="scripted.mp4")
LIVE = SourceSettings(
    source="rtsp://scripted",
    stale_after_s=LONG_S,
    frozen_after_s=LONG_S,
    picture_fault_after_s=0,
    reconnect_min_s=0.02,
    reconnect_max_s=0.05,
)
AFTER_S = 0.5
STALE = LIVE.model_copy(update={"stale_after_s": AFTER_S})
"""For tests that set the reader's clock."""


@pytest.fixture
def read_live(
    scripted: Any, wait_until: Wait
) -> Iterator[Callable[..., tuple[FrameReader[Any], list[SourceStatus]]]]:
    """A reader on live sources that are opened one after the other, then on ones that are well.

    Each may be a SourceError instead. `online`: wait for the first report of that.
    """
    readers: list[FrameReader[Any]] = []

    def make(
        sources: list[Any], *, online: bool = True, **options: Any
    ) -> tuple[FrameReader[Any], list[SourceStatus]]:
        reports: list[SourceStatus] = []
        queue = iter(sources)

        def opened() -> Any:
            source = next(queue, None) or scripted(live=True, period_s=0.002)
            if isinstance(source, Exception):
                raise source
            return source

        reader: FrameReader[Any] = FrameReader(
            opened,
            options.pop("settings", LIVE),
            camera=options.pop("camera", "front"),
            on_status=reports.append,
            rng=random.Random(0),
            **options,
        )
        readers.append(reader)
        reader.start()
        if online:
            wait_until(lambda: "online" in states(reports) and reader.frames > 5)
        return reader, reports

    yield make
    for reader in readers:
        reader.close()


def states(reports: list[SourceStatus]) -> list[str]:
    return [status.state.value for status in reports]


# Files: nothing is lost, nothing runs ahead.


@settings(deadline=None, max_examples=30, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(count=st.integers(0, 40), slow_at=st.sets(st.integers(0, 40), max_size=4))
def test_file_loses_no_frame_however_slow_the_consumer(scripted: Any, count: int, slow_at: set[int]) -> None:
    source, tick = scripted(live=False, count=count), threading.Event()
    seen: list[int] = []
    ahead: list[int] = []
    with FrameReader(lambda: source, FILE, prepare=lambda frame: frame.index * 2) as reader:
        assert reader.frame_count == count
        while not reader.ended:
            item = reader.get(LONG_S)
            if item is None:
                continue
            seen.append(item[0].index)
            assert item[1] == item[0].index * 2
            ahead.append(source.index - len(seen))
            if len(seen) in slow_at:
                tick.wait(0.003)
        assert reader.frames == count
        assert reader.dropped == 0
    assert seen == list(range(count))
    assert max(ahead, default=0) <= 3
    assert source.closed.wait(LONG_S)


def test_prepare_runs_in_the_reading_thread_while_the_consumer_works(scripted: Any) -> None:
    source = scripted(live=False, count=3)
    prepared = threading.Event()
    threads: list[str] = []

    def prepare(frame: Frame) -> int:
        threads.append(threading.current_thread().name)
        if frame.index == 1:
            prepared.set()
        return frame.index

    with FrameReader(lambda: source, FILE, camera="yard", prepare=prepare) as reader:
        assert reader.get(LONG_S) is not None
        assert prepared.wait(LONG_S), "the second frame is prepared although only the first was asked for"
    assert set(threads) == {"capture-yard"}


def test_file_that_breaks_is_raised_after_its_frames(scripted: Any) -> None:
    source = scripted(live=False, count=None)
    reader: FrameReader[None] = FrameReader(lambda: source, FILE)
    assert reader.get(LONG_S) is not None
    source.lost = True
    got = 1
    with pytest.raises(SourceError, match="pulled out"):
        while True:
            item = reader.get(LONG_S)
            assert item is not None
            got += 1
    assert got == source.index
    assert reader.ended
    reader.close()


def test_fault_in_prepare_reaches_the_consumer(scripted: Any) -> None:
    def prepare(frame: Frame) -> None:
        raise ZeroDivisionError("in prepare")

    with FrameReader(lambda: scripted(live=False, count=3), FILE, prepare=prepare) as reader:
        with pytest.raises(ZeroDivisionError):
            reader.get(LONG_S)
        assert reader.ended


def test_missing_file_is_an_error_of_the_constructor(tmp_path: Path) -> None:
    gone = SourceSettings(source=str(tmp_path / "gone.mp4"))
    with pytest.raises(SourceError, match="No such file"):
        FrameReader(lambda: open_source(gone), gone)


def test_close_before_start_closes_the_file(scripted: Any) -> None:
    source = scripted(live=False, count=3)
    reader: FrameReader[None] = FrameReader(lambda: source, FILE)
    reader.close()
    reader.close()
    assert source.closed.is_set()
    assert reader.ended
    assert reader.get(0.0) is None


def test_close_in_the_middle_ends_every_thread(scripted: Any) -> None:
    source = scripted(live=False, count=None)
    with FrameReader(lambda: source, FILE, camera="closed") as reader:
        assert reader.get(LONG_S) is not None
        reader.close(LONG_S)
    assert source.closed.is_set()
    assert not any("closed" in thread.name for thread in threading.enumerate())
    assert reader.state is SourceState.CLOSED


def test_time_of_every_read_is_told(scripted: Any) -> None:
    times: list[float] = []
    began_s = time.monotonic()
    source = scripted(live=False, count=5, period_s=0.01)
    with FrameReader(lambda: source, FILE, on_read=times.append) as reader:
        while not reader.ended:
            reader.get(LONG_S)
    assert len(times) == 6
    assert min(times) >= 0.009
    assert sum(times) <= time.monotonic() - began_s


def test_real_video_comes_through_whole(shared_data: Path) -> None:
    video = SourceSettings(source=str(shared_data / "pets09_s2l1" / "vtest_480x360.mp4"))
    with FrameReader(lambda: open_source(video), video, prepare=lambda frame: frame.image.mean()) as reader:
        items = []
        while not reader.ended:
            item = reader.get(LONG_S)
            if item is not None:
                items.append((item[0].index, item[0].image.mean() == item[1]))
    assert items == [(index, True) for index in range(795)]


# Live sources: the newest, and for ever.


def test_live_source_hands_over_the_newest_and_counts_the_rest(
    scripted: Any, read_live: Any, wait_until: Wait
) -> None:
    source = scripted(live=True, period_s=0.002)
    reader, _ = read_live([source])
    wait_until(lambda: reader.frames >= 20)
    first = reader.get(LONG_S)
    assert first is not None and first[0].index >= 18  # the one counted last may be on its way
    taken = [first[0].index]
    while reader.frames < 100:
        item = reader.get(LONG_S)
        assert item is not None
        taken.append(item[0].index)
        wait_until(lambda: reader.frames >= taken[-1] + 5)
    reader.close(LONG_S)
    assert taken == sorted(set(taken))
    assert reader.dropped + len(taken) <= reader.frames <= reader.dropped + len(taken) + 2


def test_lost_source_is_reopened_and_indices_go_on(scripted: Any, read_live: Any, wait_until: Wait) -> None:
    first, second = scripted(live=True, period_s=0.002), scripted(live=True, period_s=0.002)
    reader, reports = read_live([first, SourceError("scripted", "busy"), second])
    first.lost = True
    wait_until(lambda: second.index > 5)
    wait_until(lambda: states(reports)[-1] == "online")
    item = reader.get(LONG_S)
    assert item is not None and item[0].index >= first.index
    assert states(reports) == ["connecting", "online", "lost", "lost", "online"]
    assert [status.attempt for status in reports] == [0, 0, 1, 2, 2]
    assert [status.reason for status in reports] == ["", "", "scripted: pulled out", "scripted: busy", ""]
    assert all(0 < status.next_try_s <= 0.05 for status in reports[2:4])
    assert reader.reconnects == 2
    assert first.closed.is_set()


def test_live_source_that_ends_is_lost(scripted: Any, read_live: Any, wait_until: Wait) -> None:
    first, second = scripted(live=True, period_s=0.002), scripted(live=True, period_s=0.002)
    _, reports = read_live([first, second])
    first.ended = True
    wait_until(lambda: second.index > 0)
    assert reports[2].reason == "the stream ended"


def test_driver_that_blocks_for_ever_in_a_read_holds_up_nothing(
    scripted: Any, read_live: Any, wait_until: Wait, clock: SetClock, awake: AwakeClock
) -> None:
    blocked, second = scripted(live=True, period_s=0.002), scripted(live=True, period_s=0.002)
    reader, reports = read_live([blocked, second], settings=STALE)
    blocked.blocked.set()
    wait_until(blocked.hanging.is_set)
    began_s = awake.now_s()
    clock.advance(AFTER_S)
    wait_until(lambda: "lost" in states(reports))
    assert awake.now_s() - began_s < 2 * AFTER_S
    wait_until(lambda: second.index > 5)
    assert not blocked.closed.is_set()
    check_that_the_abandoned_thread_ends(reader, blocked, wait_until)
    wait_until(lambda: states(reports)[-1] == "online")
    assert states(reports) == ["connecting", "online", "lost", "online"]


def test_driver_that_blocks_for_ever_when_opened_holds_up_nothing(
    scripted: Any, wait_until: Wait, awake: AwakeClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("agent.capture.reader.OPEN_LIMIT_S", AFTER_S)
    blocked, reports = scripted(live=True, period_s=0.002), list[SourceStatus]()
    sources = iter([blocked])

    def opened() -> Any:
        source = next(sources, None) or scripted(live=True, period_s=0.002)
        if source is blocked:
            blocked.release.wait()
        return source

    reader: FrameReader[None] = FrameReader(opened, LIVE, camera="front", on_status=reports.append)
    began_s, began_awake_s = time.monotonic(), awake.now_s()
    reader.start()
    wait_until(lambda: "lost" in states(reports))
    assert time.monotonic() - began_s >= AFTER_S
    assert awake.now_s() - began_awake_s < 3 * AFTER_S
    wait_until(lambda: reader.frames > 5)
    assert not blocked.closed.is_set()
    check_that_the_abandoned_thread_ends(reader, blocked, wait_until)
    wait_until(lambda: states(reports)[-1] == "online")
    reader.close()


def check_that_the_abandoned_thread_ends(reader: FrameReader[Any], source: Any, wait_until: Wait) -> None:
    frames = reader.frames
    source.release.set()
    assert source.closed.wait(LONG_S), "the abandoned thread closes its source once the driver returns"
    wait_until(lambda: reader.frames > frames)


def test_close_does_not_wait_for_a_driver_that_hangs(
    scripted: Any, read_live: Any, wait_until: Wait, awake: AwakeClock, caplog: pytest.LogCaptureFixture
) -> None:
    source = scripted(live=True, period_s=0.002)
    reader, _ = read_live([source])
    source.blocked.set()
    wait_until(source.hanging.is_set)
    began_s = awake.now_s()
    with caplog.at_level(logging.WARNING):
        reader.close(timeout_s=0.2)
    assert awake.now_s() - began_s < 1.0
    assert "the driver hangs" in caplog.text


def test_hanging_drivers_do_not_pile_up(scripted: Any, read_live: Any, wait_until: Wait) -> None:
    sources = [scripted(live=True, period_s=0.002) for _ in range(10)]
    for source in sources:
        source.blocked.set()
    quick = LIVE.model_copy(update={"stale_after_s": 0.05})
    _, reports = read_live(sources, settings=quick, camera="piled", online=False)
    wait_until(lambda: sum(source.hanging.is_set() for source in sources) == 3)
    before = len(reports)
    wait_until(lambda: sum("still hang" in status.reason for status in reports[before:]) >= 3)
    assert sum(thread.name == "capture-piled" for thread in threading.enumerate()) == 3
    assert sum(source.hanging.is_set() for source in sources) == 3
    for source in sources:
        source.blocked.clear()
        source.release.set()
    wait_until(lambda: "online" in states(reports))


@pytest.mark.parametrize("phase", ["read", "close"])
def test_a_driver_that_keeps_a_lost_camera_is_told_of_until_it_lets_go(
    scripted: Any, read_live: Any, wait_until: Wait, clock: SetClock, phase: str
) -> None:
    first, closing = scripted(live=True, period_s=0.002), threading.Event()
    close = first.close
    if phase == "close":
        first.close = lambda: (closing.set(), first.release.wait(), close())
    reader, _ = read_live([first, *[SourceError("scripted", "busy")] * 5000], settings=STALE)
    assert reader.hangs_s == 0.0
    if phase == "close":
        first.lost = True
        wait_until(closing.is_set)
    else:
        first.blocked.set()
        wait_until(first.hanging.is_set)
    began_s = time.monotonic()
    clock.advance(AFTER_S)
    wait_until(lambda: reader.hangs_s > 0.2)
    assert reader.state is SourceState.LOST
    assert reader.hangs_s < time.monotonic() - began_s
    first.release.set()
    assert first.closed.wait(LONG_S)
    wait_until(lambda: reader.hangs_s == 0.0)


def test_a_connection_that_hangs_beside_one_that_delivers_is_nobodys_concern(
    scripted: Any, read_live: Any, wait_until: Wait, clock: SetClock
) -> None:
    first, second = scripted(live=True, period_s=0.002), scripted(live=True, period_s=0.002)
    reader, _ = read_live([first, second], settings=STALE)
    first.blocked.set()
    wait_until(first.hanging.is_set)
    clock.advance(AFTER_S)
    wait_until(lambda: second.index > 5 and reader.state is SourceState.ONLINE)
    assert not first.closed.is_set()
    assert reader.hangs_s == 0.0


def test_a_moment_without_threads_or_memory_is_a_loss_and_the_camera_comes_back(
    scripted: Any, read_live: Any, wait_until: Wait, monkeypatch: pytest.MonkeyPatch
) -> None:
    first, second = scripted(live=True, period_s=0.002), scripted(live=True, period_s=0.002)
    _, reports = read_live([first, second])
    start = threading.Thread.start
    refusals: list[BaseException] = [RuntimeError("can't start new thread"), MemoryError()]

    def refuse(thread: threading.Thread) -> None:
        if thread.name == "capture-front" and refusals:
            raise refusals.pop(0)
        start(thread)

    monkeypatch.setattr(threading.Thread, "start", refuse)
    first.lost = True
    wait_until(lambda: second.index > 5)
    reasons = [status.reason for status in reports if status.state is SourceState.LOST]
    assert reasons == ["scripted: pulled out", "can't start new thread", "out of memory"]
    wait_until(lambda: states(reports)[-1] == "online")


def test_a_fault_of_the_supervisor_reaches_the_consumer(
    scripted: Any, read_live: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(connection: object) -> bool:
        raise ZeroDivisionError("in the supervisor")

    source = scripted(live=True, period_s=0.002)
    reader, _ = read_live([source])
    monkeypatch.setattr("agent.capture.connection.Connection.alive", property(fail))
    source.lost = True
    with pytest.raises(ZeroDivisionError):
        while not reader.ended:
            reader.get(LONG_S)


def test_frozen_source_is_reported_and_its_repeats_are_not_handed_over(
    scripted: Any, read_live: Any, wait_until: Wait, clock: SetClock
) -> None:
    first, second = scripted(live=True, period_s=0.002), scripted(live=True, period_s=0.002)
    second.frozen = True
    freezing = LIVE.model_copy(update={"frozen_after_s": AFTER_S})
    reader, reports = read_live([first, second], settings=freezing)
    first.frozen = True
    shown = first.index
    wait_until(lambda: first.index > shown + 2)
    clock.advance(AFTER_S)
    wait_until(lambda: reader.state is SourceState.FROZEN)
    assert first.closed.wait(LONG_S)
    frames = reader.frames
    wait_until(lambda: second.index > 10)
    assert reader.frames == frames
    clock.advance(AFTER_S)
    wait_until(lambda: states(reports)[-1] == "online")
    assert states(reports) == ["connecting", "online", "frozen", "frozen", "online"]
    assert "the same picture for 0.5 s" in reports[2].reason


def test_attempts_are_counted_anew_only_after_a_good_while(
    scripted: Any, read_live: Any, wait_until: Wait, clock: SetClock
) -> None:
    sources = [scripted(live=True, period_s=0.005) for _ in range(3)]
    _, reports = read_live(sources, settings=STALE)
    for number, source in enumerate(sources, 1):
        wait_until(lambda number=number: states(reports).count("online") == number)  # type: ignore[misc]
        if number == 3:
            for _ in range(5):
                clock.advance(0.125)
                shown = source.index
                wait_until(lambda source=source, shown=shown: source.index > shown + 2)  # type: ignore[misc]
        source.lost = True
        wait_until(lambda number=number: states(reports).count("lost") == number)  # type: ignore[misc]
    assert [status.attempt for status in reports if status.state is SourceState.LOST] == [1, 2, 1]


def test_missing_library_is_raised_at_once(read_live: Any) -> None:
    reader, reports = read_live(
        [SourceSetupError("picamera:0", "expected picamera2, got none")], online=False
    )
    with pytest.raises(SourceSetupError):
        reader.get(LONG_S)
    assert reader.ended
    assert states(reports) == ["connecting"]


def test_fault_in_the_report_does_not_stop_the_camera(
    scripted: Any, wait_until: Wait, caplog: pytest.LogCaptureFixture
) -> None:
    def report(status: SourceStatus) -> None:
        raise RuntimeError("no broker")

    source = scripted(live=True, period_s=0.002)
    with FrameReader(lambda: source, LIVE, on_status=report) as reader:
        reader.start()
        wait_until(lambda: reader.frames > 5)
        wait_until(lambda: "no broker" in caplog.text)


def test_status_reads_as_one_line() -> None:
    status = SourceStatus("front", SourceState.LOST, "no frame for 5.0 s", 2, 1.66)
    assert str(status) == "camera front: no frame for 5.0 s; reconnecting (attempt 2, next in 1.7 s)"
    assert str(SourceStatus("front", SourceState.ONLINE)) == "camera front: online"


def test_hundred_camera_faults_are_each_noticed_and_recovered(wait_until: Wait) -> None:
    made: list[FakePicamera2] = []

    def opened() -> PicameraSource:
        source = PicameraSource(camera_settings, FakePicamera2)
        made.append(source._camera)
        return source

    camera_settings = SourceSettings(
        source="picamera:0",
        width=64,
        height=48,
        fps=500,
        stale_after_s=0.05,
        frozen_after_s=0.05,
        picture_fault_after_s=0,
        reconnect_min_s=0.001,
        reconnect_max_s=0.002,
    )
    reports: list[SourceStatus] = []
    with FrameReader(opened, camera_settings, camera="pi", on_status=reports.append) as reader:
        reader.start()
        for fault in range(100):
            wait_until(lambda: (seen := len(reports)) > 0 and reports[seen - 1].state is SourceState.ONLINE)
            # What is reported from here on, also of a machine that stood still, is after the fault.
            before = 1 + max(n for n, status in enumerate(reports) if status.state is SourceState.ONLINE)
            if fault % 3 == 0:
                made[-1].hung.set()
            elif fault % 3 == 1:
                made[-1].frozen = True
            else:
                made[-1].close()
            wait_until(lambda before=before: SourceState.ONLINE in [s.state for s in reports[before:]])  # type: ignore[misc]
            assert {s.state for s in reports[before:]} & {SourceState.LOST, SourceState.FROZEN}
    wait_until(lambda: all(camera.closed for camera in made))
    assert reader.reconnects >= 100
