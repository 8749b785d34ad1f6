"""What waits, was dropped and is under way adds up, whatever the disk and the limits do meanwhile."""

from __future__ import annotations

import random
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from agent.alerts.outbox import Outbox
from agent.alerts.outbox_file import PAGE_SIZE
from agent.alerts.outbox_records import StoredAlert
from agent.alerts.receipt_window import ReceiptWindow
from agent.alerts.schema import new_id
from agent.alerts.settings import OutboxSettings
from agent.alerts.window import AlertWindow
from tests.agent.alerts.conftest import disk_that_takes_nothing

MakeOutbox = Callable[..., Outbox]
NORMAL = OutboxSettings(synchronous="normal")


def put(outbox: Outbox, number: int = 1, topic: str = "t", size: int = 1000) -> list[StoredAlert]:
    return [outbox.put(topic, new_id(), lambda sequence: b"x" * size) for _ in range(number)]


def ids(alerts: list[StoredAlert]) -> list[str]:
    return [alert.id for alert in alerts]


class Sender:
    """Draws alerts from a window as a connection does."""

    def __init__(self, window: AlertWindow) -> None:
        self._window = window
        self._mid = 0
        self.under_way: dict[int, StoredAlert] = {}
        self.acknowledged: list[str] = []

    def send(self, number: int = 1_000_000) -> int:
        before = self._mid
        while self._mid - before < number and (alert := self._window.next()) is not None:
            self._mid += 1
            self._window.sent(self._mid, alert)
            self.under_way[self._mid] = alert
        return self._mid - before

    def acknowledge(self, number: int = 1_000_000) -> None:
        for mid in list(self.under_way)[:number]:
            self._window.acknowledged(mid)
            self.acknowledged.append(self.under_way.pop(mid).id)


def test_alerts_under_way_are_not_dropped_and_all_add_up(make_outbox: MakeOutbox) -> None:
    outbox = make_outbox(max_size_mb=0.1, synchronous="normal")
    window = AlertWindow(outbox)
    sender = Sender(window)
    stored = put(outbox, 100)
    sender.send(20)
    stored += put(outbox, 20)
    assert outbox.dropped >= 20
    assert len(outbox) == len(outbox.pending(1000)) == 120 - outbox.dropped
    sender.acknowledge()
    stored += put(outbox, 20)
    window.forget()
    assert len(outbox) == len(outbox.pending(1000))
    while sender.send(20):
        sender.acknowledge()
        window.forget()
        assert len(outbox) == len(outbox.pending(1000))
    assert len(sender.acknowledged) + outbox.dropped == 140
    assert sender.acknowledged == [id_ for id_ in ids(stored) if id_ in set(sender.acknowledged)]
    assert (len(outbox), outbox.payload_bytes) == (0, 0)


def test_alerts_under_way_in_memory_are_not_dropped(tmp_path: Path, make_outbox: MakeOutbox) -> None:
    (tmp_path / "file").write_text("no folder")
    outbox = make_outbox(path=tmp_path / "file" / "outbox.sqlite", max_in_memory=10)
    window = AlertWindow(outbox)
    sender = Sender(window)
    stored = put(outbox, 10)
    sender.send(4)
    stored += put(outbox, 8)
    assert (outbox.dropped, len(outbox)) == (8, 10)
    assert ids(outbox.pending(100)) == ids(stored[:4] + stored[12:])
    sender.acknowledge()
    window.forget()
    sender.send()
    sender.acknowledge()
    window.forget()
    assert len(outbox) == 0
    assert sender.acknowledged == ids(stored[:4] + stored[12:])


def test_alert_that_waits_for_its_receipt_is_not_dropped_or_expired(make_outbox: MakeOutbox) -> None:
    now, wall = [0.0], [1e9]
    clocks = {"monotonic": lambda: now[0], "wall": lambda: wall[0], "synchronised": lambda: True}
    outbox = make_outbox(clocks, max_size_mb=0.05, max_age_s=100, synchronous="normal")
    window = ReceiptWindow(outbox, 30.0, lambda topic: None)
    put(outbox, 3)
    window.stored("t")
    first = window.next()
    assert first is not None
    window.sent(1, first)
    window.acknowledged(1)
    newest = put(outbox, 100)[-1]
    now[0], wall[0] = 61.0, 1e9 + 101
    put(outbox)
    assert outbox.dropped == 102
    assert window.next() is None, "the first of a topic waits for its receipt"
    assert window.receipt({first.id}) == 1
    following = window.next()
    assert following is not None
    assert following.sequence == newest.sequence + 1
    window.sent(2, following)
    assert window.receipt({following.id}) == 1
    window.forget()
    assert len(outbox) == 0


def test_alert_that_is_put_back_can_be_dropped(make_outbox: MakeOutbox) -> None:
    outbox = make_outbox(max_size_mb=0.05, synchronous="normal")
    window = AlertWindow(outbox)
    sender = Sender(window)
    put(outbox, 40)
    sender.send(20)
    window.start_over()
    put(outbox, 40)
    assert ids(outbox.pending(1))[0] not in ids(list(sender.under_way.values()))
    assert len(outbox) + outbox.dropped == 80


def test_acknowledged_while_the_disk_fails_counts_nothing_twice(make_outbox: MakeOutbox) -> None:
    now = [0.0]
    outbox = make_outbox({"monotonic": lambda: now[0]})
    stored = put(outbox, 5)
    with disk_that_takes_nothing():
        outbox.acknowledge(stored[:3])
        assert outbox.disk_error is not None
        assert len(outbox) == 0
        late = put(outbox, 2)
        assert len(outbox) == 2
        outbox.acknowledge(late[:1])
        assert len(outbox) == 1
    now[0] = 6.0
    assert ids(outbox.pending(10)) == ids(stored[3:] + late[1:])
    assert (len(outbox), outbox.disk_error) == (3, None)
    outbox.close()
    assert ids(make_outbox().pending(10)) == ids(stored[3:] + late[1:])


def test_acknowledged_on_a_full_disk_is_neither_sent_nor_counted(make_outbox: MakeOutbox) -> None:
    now = [0.0]
    outbox = make_outbox({"monotonic": lambda: now[0]})
    stored = put(outbox, 5)
    assert outbox._file is not None
    database = outbox._file._database
    (pages,) = database.execute("PRAGMA page_count").fetchone()
    database.execute(f"PRAGMA max_page_count = {pages}")
    late = put(outbox, 3, size=9000)
    outbox.acknowledge([stored[0], late[0]])
    outbox.acknowledge([stored[0], late[0]])
    assert ids(outbox.pending(10)) == ids(stored[1:] + late[1:])
    assert len(outbox) == 6
    database.execute("PRAGMA max_page_count = 1000000")
    now[0] = 6.0
    assert ids(outbox.pending(10)) == ids(stored[1:] + late[1:])
    assert len(outbox) == 6


def test_drop_that_the_disk_refuses_is_counted_when_it_is_done(make_outbox: MakeOutbox) -> None:
    now, wall = [0.0], [1e9]
    clocks = {"monotonic": lambda: now[0], "wall": lambda: wall[0], "synchronised": lambda: True}
    outbox = make_outbox(clocks, max_age_s=100)
    put(outbox, 30)
    now[0], wall[0] = 61.0, 1e9 + 1000
    with disk_that_takes_nothing():
        outbox.pending(1)
        assert (outbox.disk_error is None, outbox.dropped) == (False, 0)
    now[0] = 122.0
    outbox.pending(1)
    assert (outbox.dropped, len(outbox)) == (30, 0)


def test_page_that_is_damaged_at_run_time_loses_no_alert_and_sends_none_twice(
    make_outbox: MakeOutbox, outbox_path: Path
) -> None:
    """Alerts of the old file are acknowledged, and in flight, when it is rebuilt."""
    now = [1000.0]
    outbox = make_outbox({"monotonic": lambda: now[0]}, synchronous="normal")
    stored = put(outbox, 800, size=3000)
    window = AlertWindow(outbox)
    sender = Sender(window)
    sender.send(200)
    sender.acknowledge()
    window.forget()
    assert outbox._file is not None
    outbox._file.checkpoint()
    sender.send(20)
    sender.acknowledge(10)
    with outbox_path.open("r+b") as file:  # the root of the table
        file.seek(PAGE_SIZE)
        file.write(b"\xff" * PAGE_SIZE)
    outbox._file._database.execute("PRAGMA shrink_memory")
    while sender.send(10) or outbox.disk_error is not None:
        sender.acknowledge(10)
        now[0] += 6.0
    sender.acknowledge()
    window.forget()
    assert outbox.generation == 2
    assert sender.acknowledged == ids(stored)
    assert (len(outbox), outbox.dropped, outbox.damaged) == (0, 0, 0)


def test_text_that_a_card_made_no_text_of_is_given_up_alone(
    make_outbox: MakeOutbox, outbox_path: Path
) -> None:
    outbox = make_outbox()
    stored = put(outbox, 5)
    outbox.close()
    content = outbox_path.read_bytes()
    outbox_path.write_bytes(content.replace(stored[2].id.encode(), b"\xff" + stored[2].id.encode()[1:]))
    again = make_outbox()
    assert ids(again.pending(10)) == ids(stored[:2] + stored[3:])
    assert (again.damaged, len(again), again.disk_error) == (1, 4, None)


STEPS = st.lists(
    st.one_of(
        st.tuples(st.just("put"), st.sampled_from(["front", "back"]), st.integers(1, 9)),
        st.tuples(st.just("acknowledge"), st.sampled_from(["front", "back"]), st.integers(1, 9)),
        st.tuples(st.just("checkpoint"), st.just(""), st.just(0)),
    ),
    max_size=20,
)


@settings(max_examples=25, deadline=None)
@given(steps=STEPS)
def test_killed_at_any_moment_exactly_what_waited_comes_back_in_order(
    steps: list[tuple[str, str, int]], tmp_path_factory: pytest.TempPathFactory
) -> None:
    folder = tmp_path_factory.mktemp("outbox")
    outbox = Outbox(folder / "live" / "outbox.sqlite", NORMAL)
    put(outbox, topic="held")
    for number, (step, topic, count) in enumerate(steps):
        if step == "put":
            put(outbox, count, topic, size=random.Random(number).randrange(5000))
        elif step == "acknowledge":
            outbox.acknowledge(outbox.pending(count, topic=topic))
        elif outbox._file is not None:
            outbox._file.checkpoint()
        shutil.copytree(folder / "live", folder / str(number))
        killed = Outbox(folder / str(number) / "outbox.sqlite", NORMAL)
        assert killed.pending(1000) == outbox.pending(1000)
        assert len(killed) == len(outbox) == len(outbox.pending(1000))
        killed.close()
    outbox.close()


def test_acknowledged_without_a_disk_stays_in_memory_only_where_the_disk_may_hold_it(
    tmp_path: Path, make_outbox: MakeOutbox
) -> None:
    now = [0.0]
    folder = tmp_path / "state"
    outbox = make_outbox({"monotonic": lambda: now[0]}, path=folder / "outbox.sqlite")
    stored = put(outbox, 2)
    with disk_that_takes_nothing():
        stored += put(outbox, 2)
        folder.rename(tmp_path / "away")
        folder.touch()
    outbox.acknowledge([stored[0], stored[2]])
    for _ in range(50):
        outbox.acknowledge(put(outbox))
    assert outbox._gone.keys() == {stored[0].id, stored[2].id}
    folder.unlink()
    (tmp_path / "away").rename(folder)
    now[0] = 6.0
    assert ids(outbox.pending(10)) == ids([stored[1], stored[3]])
    assert len(outbox) == 2
    assert not outbox._gone
    assert not outbox._maybe_written
