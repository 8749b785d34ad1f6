from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from agent.alerts import window as window_module
from agent.alerts.outbox import Outbox
from agent.alerts.outbox_records import StoredAlert
from agent.alerts.schema import new_id
from agent.alerts.window import AlertWindow


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
