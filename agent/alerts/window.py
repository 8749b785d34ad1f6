"""Which alerts are on their way to the broker, and which is next."""

from __future__ import annotations

import threading
import time
from collections import deque

from agent.alerts.outbox import Outbox
from agent.alerts.outbox_records import StoredAlert

_READ_AHEAD = 100
_FORGET_EVERY_S = 0.5  # acknowledged alerts are deleted together: each transaction is a write to the SD card
_FORGET_AT = 500
REFUSED_WAIT_S, UNHEARD_WAIT_S = 30.0, 2.0
LONGEST_HOLD_S = 900.0


class AlertWindow:
    """Reads ahead in the outbox, in order, and forgets there what the broker has.

    A topic whose alert was refused, or that nobody hears, is held for a while; other topics pass it. Used by
    one thread, `stored` and `queued` apart.

    Args:
        outbox: what waits.
    """

    def __init__(self, outbox: Outbox) -> None:
        self._outbox = outbox
        self._held: dict[str, float] = {}  # topic: when to try again
        self._hold_s: dict[str, float] = {}  # topic: how long it is held the next time
        self._ready: deque[StoredAlert] = deque()
        self._acknowledged: list[StoredAlert] = []
        self._acknowledged_s = 0.0
        self._forgetting = threading.Lock()  # what is being deleted is not taken off the count twice
        self.in_flight: dict[int, tuple[StoredAlert, float]] = {}
        """Packet identifier: the alert, and when it was sent (monotonic)."""
        self.start_over()

    def start_over(self) -> None:
        """Read the outbox from its beginning: what was in flight on a lost connection is sent again."""
        self.in_flight.clear()
        self.forget()
        self._outbox.put_back()
        self._read_again()

    def _read_again(self) -> None:
        self._ready.clear()
        self._position = 0
        self._generation = self._outbox.generation
        self._more = True

    def stored(self, topic: str) -> None:
        """The outbox has something new; from any thread."""
        self._more = True

    @property
    def queued(self) -> int:
        """Alerts that wait; the outbox still holds others that the broker has. From any thread."""
        with self._forgetting:
            return max(len(self._outbox) - len(self._acknowledged), 0)

    def next(self) -> StoredAlert | None:
        """The next alert to send, if one waits."""
        now = time.monotonic()
        if self._held and min(self._held.values()) <= now:
            self._held = {topic: until for topic, until in self._held.items() if until > now}
            self.forget()
            self._read_again()
        while True:
            if self._outbox.generation != self._generation:  # earlier alerts may wait, and others no more
                self.forget()
                self._read_again()
            if not self._ready and not self._read_on():
                return None
            while self._ready:
                alert = self._ready.popleft()
                if alert.topic in self._held:
                    continue
                if self._outbox.take(alert, self._generation):
                    return alert
                break

    def _read_on(self) -> bool:
        """Read what comes next, unless nothing does."""
        if not (self._more or self._outbox.disk_error):
            return False
        self._more = False  # before reading: what is stored meanwhile sets it again
        alerts = self._outbox.pending(_READ_AHEAD, self._position)
        if self._outbox.generation != self._generation:
            return True
        if not alerts:
            return False
        self._more |= len(alerts) == _READ_AHEAD
        self._position = alerts[-1].position
        under_way = {alert.id: (mid, sent_s) for mid, (alert, sent_s) in self.in_flight.items()}
        for alert in alerts:
            if alert.id in under_way:  # it may have another position now
                mid, sent_s = under_way[alert.id]
                self.in_flight[mid] = (alert, sent_s)
            else:
                self._ready.append(alert)
        return True

    def sent(self, mid: int, alert: StoredAlert) -> None:
        """An alert went out under a packet identifier."""
        self.in_flight[mid] = (alert, time.monotonic())

    def waiting_s(self) -> float:
        """For how long the oldest alert in flight has had no answer."""
        _, sent_s = next(iter(self.in_flight.values()), (None, None))
        return 0.0 if sent_s is None else time.monotonic() - sent_s

    def acknowledged(self, mid: int) -> None:
        """The broker has the alert."""
        alert, _ = self.in_flight.pop(mid)
        self._hold_s.pop(alert.topic, None)
        self._done(alert)

    def _done(self, alert: StoredAlert) -> None:
        """The outbox may forget the alert, with others."""
        if not self._acknowledged:
            self._acknowledged_s = time.monotonic()
        self._acknowledged.append(alert)

    def hold(self, mid: int, first_wait_s: float, longest_wait_s: float = LONGEST_HOLD_S) -> StoredAlert:
        """The alert is to be sent again: its topic is held, longer each time."""
        alert, _ = self.in_flight.pop(mid)
        self.hold_back(alert, first_wait_s, longest_wait_s)
        return alert

    def hold_back(
        self, alert: StoredAlert, first_wait_s: float, longest_wait_s: float = LONGEST_HOLD_S
    ) -> None:
        """As `hold`, for an alert that was drawn and not sent."""
        self._outbox.put_back(alert)
        if alert.topic in self._held:
            return
        wait_s = min(self._hold_s.get(alert.topic, first_wait_s), longest_wait_s)
        self._held[alert.topic] = time.monotonic() + wait_s
        self._hold_s[alert.topic] = 2 * wait_s

    def forget_in_s(self) -> float:
        """When acknowledged alerts are due to be deleted, from now; infinite when there are none."""
        if not self._acknowledged:
            return float("inf")
        if len(self._acknowledged) >= _FORGET_AT:
            return 0.0
        return max(0.0, self._acknowledged_s + _FORGET_EVERY_S - time.monotonic())

    def forget(self) -> None:
        """Delete acknowledged alerts from the outbox, in one transaction."""
        with self._forgetting:
            if self._acknowledged:
                self._outbox.acknowledge(self._acknowledged)
                self._acknowledged = []
