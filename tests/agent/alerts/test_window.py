from __future__ import annotations

import threading
from collections.abc import Callable
from pathlib import Path

import pytest

from agent.alerts import window as window_module
from agent.alerts.outbox import Outbox
from agent.alerts.outbox_records import StoredAlert
from agent.alerts.receipt_window import ReceiptWindow
from agent.alerts.schema import new_id
from agent.alerts.window import AlertWindow
from tests.agent.alerts.conftest import disk_that_takes_nothing


def put(outbox: Outbox, topic: str = "t") -> StoredAlert:
    return outbox.put(topic, new_id(), lambda sequence: b"%d" % sequence)


def drawn(window: AlertWindow) -> list[int]:
    numbers = []
    while (alert := window.next()) is not None:
        numbers.append(alert.sequence)
    return numbers


def test_alerts_are_drawn_once_and_again_after_a_lost_connection(make_outbox: Callable[..., Outbox]) -> None:
    outbox = make_outbox()
    window = AlertWindow(outbox)
    for _ in range(250):
        put(outbox)
    window.stored("t")
    assert drawn(window) == list(range(1, 251))
    assert drawn(window) == []
    for mid, alert in enumerate(outbox.pending(10), 1):
        window.sent(mid, alert)
    for mid in (1, 2, 3):
        window.acknowledged(mid)
    window.start_over()
    assert drawn(window) == list(range(4, 251))
    assert len(outbox) == 247


def test_alerts_that_are_being_deleted_are_not_taken_off_the_count_twice(
    make_outbox: Callable[..., Outbox], monkeypatch: pytest.MonkeyPatch
) -> None:
    outbox = make_outbox()
    window = AlertWindow(outbox)
    for _ in range(3):
        put(outbox)
    alert = window.next()
    assert alert is not None
    window.sent(1, alert)
    window.acknowledged(1)
    counted: list[int] = []
    counting = threading.Thread(target=lambda: counted.append(window.queued))
    acknowledge = outbox.acknowledge

    def acknowledge_and_stand(alerts: list[StoredAlert]) -> None:
        acknowledge(alerts)
        counting.start()
        counting.join(0.2)

    monkeypatch.setattr(outbox, "acknowledge", acknowledge_and_stand)
    window.forget()
    counting.join(30)
    assert counted == [2]


def test_refused_topic_is_held_while_others_pass_and_tried_again_later(
    make_outbox: Callable[..., Outbox], monkeypatch: pytest.MonkeyPatch
) -> None:
    now = [0.0]
    monkeypatch.setattr(window_module.time, "monotonic", lambda: now[0])
    outbox = make_outbox({"monotonic": lambda: now[0]})
    window = AlertWindow(outbox)
    refused, other = put(outbox, "back"), put(outbox, "front")
    put(outbox, "back")
    window.stored("t")
    first = window.next()
    assert first == refused
    window.sent(1, refused)
    assert window.hold(1, 30.0) == refused
    assert drawn(window) == [other.sequence]
    window.sent(2, other)
    now[0] = 31.0
    assert drawn(window) == [1, 3], "the held ones in order, the one in flight not again"


def test_alerts_of_a_disk_that_comes_back_are_drawn_without_a_new_one(
    make_outbox: Callable[..., Outbox], tmp_path: Path
) -> None:
    now = [0.0]
    folder = tmp_path / "state"
    before = make_outbox(path=folder / "outbox.sqlite")
    for _ in range(3):
        put(before)
    before.close()
    folder.rename(tmp_path / "away")
    folder.write_text("no folder")
    outbox = make_outbox({"monotonic": lambda: now[0]}, path=folder / "outbox.sqlite")
    window = AlertWindow(outbox)
    late = [put(outbox), put(outbox)]
    window.stored("t")
    assert drawn(window) == [alert.sequence for alert in late]
    folder.unlink()
    (tmp_path / "away").rename(folder)
    now[0] = 6.0
    assert len(drawn(window)) == 5
    assert len(outbox) == 5
    assert outbox.disk_error is None


@pytest.mark.parametrize("by_receipt", [False, True])
def test_what_was_read_is_sent_in_order_while_the_disk_is_away_and_memory_is_full(
    make_outbox: Callable[..., Outbox], tmp_path: Path, by_receipt: bool
) -> None:
    now = [0.0]
    folder = tmp_path / "state"
    outbox = make_outbox({"monotonic": lambda: now[0]}, path=folder / "outbox.sqlite", max_in_memory=10)
    window = ReceiptWindow(outbox, 1000.0, lambda topic: None) if by_receipt else AlertWindow(outbox)

    def taken() -> int:
        alert = window.next()
        if alert is None:
            return 0
        window.sent(alert.sequence, alert)
        window.acknowledged(alert.sequence)
        if isinstance(window, ReceiptWindow):
            window.receipt({alert.id})
        return alert.sequence

    for _ in range(20):
        put(outbox)
    window.stored("t")
    numbers = [taken() for _ in range(3)]
    window.forget()
    with disk_that_takes_nothing():
        put(outbox)
        folder.rename(tmp_path / "away")
        folder.touch()
    for _ in range(11):
        put(outbox)
    window.stored("t")
    assert outbox.dropped == 2
    numbers += [taken() for _ in range(18)]
    for _ in range(4):  # drops alerts that the window has read already
        put(outbox)
    window.stored("t")
    while number := taken():
        numbers.append(number)
    waited = [number for number in range(1, 37) if number not in (21, 22)]
    assert numbers == [number for number in waited if number in set(numbers)]
    assert len(numbers) + outbox.dropped == 36
    folder.unlink()
    (tmp_path / "away").rename(folder)
    now[0] = 6.0
    assert taken() == 0
    window.forget()
    assert len(outbox) == 0


@pytest.mark.parametrize("by_receipt", [False, True])
def test_alert_that_a_full_disk_had_no_room_for_is_not_sent_once_it_was_dropped(
    make_outbox: Callable[..., Outbox], by_receipt: bool
) -> None:
    now = [0.0]
    outbox = make_outbox({"monotonic": lambda: now[0]}, max_in_memory=10)
    window = ReceiptWindow(outbox, 1000.0, lambda topic: None) if by_receipt else AlertWindow(outbox)
    put(outbox)
    assert outbox._file is not None
    database = outbox._file._database
    (pages,) = database.execute("PRAGMA page_count").fetchone()
    database.execute(f"PRAGMA max_page_count = {pages}")
    for _ in range(10):
        outbox.put("u", new_id(), lambda sequence: b"x" * 9000)
    window.stored("u")
    assert window.next() is not None
    for _ in range(3):
        outbox.put("u", new_id(), lambda sequence: b"x" * 9000)
    assert outbox.dropped > 0
    database.execute("PRAGMA max_page_count = 1000000")
    now[0] = 6.0
    kept = {alert.id for alert in outbox.pending(100)}
    assert len(kept) + outbox.dropped == 14
    sent = set()
    for mid in range(100):
        alert = window.next()
        if alert is None:
            break
        window.sent(mid, alert)
        window.acknowledged(mid)
        if isinstance(window, ReceiptWindow):
            window.receipt({alert.id})
        sent.add(alert.id)
    assert sent <= kept
    assert len(sent) >= len(kept) - 1


def test_alert_under_way_that_the_disk_renumbers_is_done_with_its_receipt(
    make_outbox: Callable[..., Outbox], tmp_path: Path
) -> None:
    now = [0.0]
    folder = tmp_path / "state"
    before = make_outbox(path=folder / "outbox.sqlite")
    stored = [put(before) for _ in range(3)]
    before.close()
    folder.rename(tmp_path / "away")
    folder.touch()
    clocks = {"monotonic": lambda: now[0], "wall": lambda: 0.0}  # a clock that begins anew with every start
    outbox = make_outbox(clocks, path=folder / "outbox.sqlite")
    window = ReceiptWindow(outbox, 1000.0, lambda topic: None)
    stored.insert(0, put(outbox))
    window.stored("t")
    first = window.next()
    assert first == stored[0]
    window.sent(0, first)
    folder.unlink()
    (tmp_path / "away").rename(folder)
    now[0] = 6.0
    assert window.next() is None
    assert outbox.disk_error is None
    sent, mid = [first.id], 0
    window.acknowledged(mid)
    assert window.receipt({first.id}) == 1
    while (alert := window.next()) is not None:
        mid += 1
        window.sent(mid, alert)
        window.acknowledged(mid)
        assert window.receipt({alert.id}) == 1
        sent.append(alert.id)
    assert sent == [alert.id for alert in stored]
    window.forget()
    assert len(outbox) == 0
