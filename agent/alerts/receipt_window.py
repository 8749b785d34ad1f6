"""The window where receivers, not the broker, say which alerts have arrived.

One alert of each topic is under way at a time, and comes again, with growing waits, until a receipt names
it. So the order of a camera holds whatever a broker or a receiver forgets: nothing is sent behind an alert
that nobody has.
"""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable, Collection
from dataclasses import dataclass, field

from agent.alerts.outbox import Outbox
from agent.alerts.outbox_records import StoredAlert
from agent.alerts.window import LONGEST_HOLD_S, AlertWindow

_READ_AHEAD = 50
_SHORTEST_WAIT_S, _LONGEST_WAIT_S = 1.0, 60.0
_SILENT_AFTER = 3  # sends of one alert


@dataclass(slots=True)
class _Lane:
    """One topic.

    Args:
        wait_s: until its first alert is sent again.
        queue: alerts read from the outbox; the first is the one under way.
        last: position up to which the outbox was read.
        more: whether the outbox may hold more behind it.
        sends: how often the first was sent.
        sent_s, due_s: when it was, and when it is to be sent next (monotonic).
        mid: packet identifier of the last send.
        kept: id of the alert that was under way when the outbox was read again.
    """

    wait_s: float
    queue: deque[StoredAlert] = field(default_factory=deque)
    last: int = 0
    more: bool = True
    sends: int = 0
    sent_s: float = 0.0
    due_s: float = 0.0
    mid: int | None = None
    kept: str = ""


class ReceiptWindow(AlertWindow):
    """An `AlertWindow` whose alerts are done when `receipt` names them.

    Args:
        outbox: what waits.
        redeliver_s: an alert without a receipt is sent again after this, then after twice as long …
        on_silence: told a topic whose alert was sent three times without a receipt.
    """

    def __init__(self, outbox: Outbox, redeliver_s: float, on_silence: Callable[[str], None]) -> None:
        self._redeliver_s = redeliver_s
        self._on_silence = on_silence
        self._lanes: dict[str, _Lane] = {}
        self._news: deque[str] = deque()
        super().__init__(outbox)

    def start_over(self) -> None:
        """Read the outbox from its beginning: what has no receipt is sent again."""
        self._lanes = {}
        super().start_over()

    def _read_again(self) -> None:
        """Read all topics from the beginning; what is under way stays so."""
        self._generation = self._outbox.generation
        under_way = {topic: lane for topic, lane in self._lanes.items() if lane.sends}
        for lane in under_way.values():
            lane.queue = deque([lane.queue[0]])
            lane.last, lane.more, lane.kept = 0, True, lane.queue[0].id
        topics = sorted(self._outbox.topics() | under_way.keys())
        self._lanes = {topic: under_way.get(topic) or _Lane(self._redeliver_s) for topic in topics}

    def stored(self, topic: str) -> None:
        """The outbox has something new; from any thread."""
        self._news.append(topic)

    def next(self) -> StoredAlert | None:
        """The next alert to send, or to send again, if one is due."""
        if self._outbox.disk_error:
            self._outbox.pending(1)  # tries the disk again
        while True:
            if self._outbox.generation != self._generation:
                self.forget()
                self._read_again()
            while self._news:
                self._lanes.setdefault(self._news.popleft(), _Lane(self._redeliver_s)).more = True
            now = time.monotonic()
            self._held = {topic: until for topic, until in self._held.items() if until > now}
            alert = self._due(now)
            if alert is None or self._outbox.take(alert, self._generation):
                return alert
            if not (lane := self._lanes[alert.topic]).sends:
                lane.queue.popleft()

    def _due(self, now: float) -> StoredAlert | None:
        for topic, lane in self._lanes.items():
            if topic in self._held or now < lane.due_s or lane.mid in self.in_flight:
                continue
            if lane.queue or self._fill(topic, lane):
                return lane.queue[0]
        return None

    def _fill(self, topic: str, lane: _Lane) -> bool:
        """Read on; False when nothing waits."""
        if not lane.more:
            return False
        if not lane.last:
            self.forget()  # what has its receipt is not to be read again
        lane.more = False  # before reading: what is stored meanwhile sets it again
        alerts = self._outbox.pending(_READ_AHEAD, lane.last, topic)
        if not alerts or self._outbox.generation != self._generation:
            return False
        lane.more |= len(alerts) == _READ_AHEAD
        lane.last = alerts[-1].position
        for alert in alerts:
            if alert.id == lane.kept:  # it has its receipt, and another position now
                self._done(alert)
            else:
                lane.queue.append(alert)
        return bool(lane.queue) or self._fill(topic, lane)

    def sent(self, mid: int, alert: StoredAlert) -> None:
        """An alert went out under a packet identifier."""
        super().sent(mid, alert)
        lane = self._lanes[alert.topic]
        lane.mid, lane.sent_s = mid, time.monotonic()
        lane.due_s = lane.sent_s + lane.wait_s
        lane.wait_s = min(2 * lane.wait_s, max(_LONGEST_WAIT_S, self._redeliver_s))
        lane.sends += 1
        if lane.sends == _SILENT_AFTER:
            self._on_silence(alert.topic)

    def acknowledged(self, mid: int) -> None:
        """The broker has the alert; that is not enough."""
        alert, _ = self.in_flight.pop(mid)
        self._hold_s.pop(alert.topic, None)

    def hold_back(
        self, alert: StoredAlert, first_wait_s: float, longest_wait_s: float = LONGEST_HOLD_S
    ) -> None:
        """As in `AlertWindow`; the alert is to be read again, since it may be dropped meanwhile."""
        super().hold_back(alert, first_wait_s, longest_wait_s)
        self._lanes[alert.topic] = _Lane(self._redeliver_s)

    def receipt(self, ids: Collection[str]) -> int:
        """Receivers have these alerts; how many of them were under way."""
        if not ids:
            self._hurry()
        done = 0
        for lane in self._lanes.values():
            if lane.sends and lane.queue[0].id in ids:
                self._done(lane.queue.popleft())
                lane.sends, lane.due_s, lane.wait_s, lane.mid = 0, 0.0, self._redeliver_s, None
                done += 1
        return done

    def _hurry(self) -> None:
        """A receiver came: what is under way is sent again at once, though not twice within a second."""
        for lane in self._lanes.values():
            if lane.sends:
                lane.due_s = min(lane.due_s, lane.sent_s + _SHORTEST_WAIT_S)
                lane.wait_s = self._redeliver_s
