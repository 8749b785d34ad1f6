"""Receive alerts in a program of your own.

    from agent.alerts.settings import BrokerSettings
    from agent.client import AlertClient

    broker = BrokerSettings(url="mqtt://broker.local")
    with AlertClient(broker, client_id="siren", keep_session_s=86400) as client:
        for alert in client.alerts():
            print(alert.time, alert.camera, alert.rule, alert.track.label if alert.track else "")

An alert is confirmed to the broker when the loop asks for the next one: with `client_id` and
`keep_session_s` one that a crash interrupted comes again. Repeats are dropped by their id, and gaps in a
device's numbers are told. Where devices are configured with `broker.acknowledge: receiver`, one receiver is
to be made with `acknowledge=True`: it tells them which alerts they may forget.
"""

from __future__ import annotations

import logging
import threading
import time
from collections import OrderedDict, deque
from collections.abc import Iterator
from dataclasses import dataclass
from types import TracebackType
from typing import Self

from pydantic import ValidationError
from ulid import ULID

from agent.alerts.messages import Message, Waker
from agent.alerts.mqtt import Session
from agent.alerts.receipts import Receipts
from agent.alerts.schema import AlertPayload
from agent.alerts.settings import BrokerSettings
from agent.alerts.topics import Topics
from agent.backoff import Backoff
from agent.errors import BrokerError, ConfigError

_log = logging.getLogger("edgetrack.client")
_REMEMBERED_IDS = 20_000
_REMEMBERED_GAPS = 1_000
_SUBSCRIBE_TIMEOUT_S = 5.0


@dataclass(frozen=True, slots=True)
class SequenceGap:
    """Alerts of a device that did not come (they may come late): lost, or dropped by a full outbox.

    Args:
        device: its name.
        first, last: sequence numbers of the missing ones.
    """

    device: str
    first: int
    last: int

    def __str__(self) -> str:
        return (
            f"{self.device}: {self.last - self.first + 1} alerts missing, numbers {self.first} to {self.last}"
        )


@dataclass(frozen=True, slots=True)
class DeviceStatus:
    """A device came or went; told for each at the start too.

    Args:
        device: its name.
        online: whether it has a connection to the broker.
    """

    device: str
    online: bool

    def __str__(self) -> str:
        return f"{self.device}: {'online' if self.online else 'offline'}"


Event = AlertPayload | SequenceGap | DeviceStatus


class SequenceCheck:
    """Finds gaps in the numbers of each device."""

    def __init__(self) -> None:
        self._highest: dict[str, int] = {}
        self._missing: OrderedDict[tuple[str, int], None] = OrderedDict()

    def see(self, device: str, sequence: int) -> SequenceGap | None:
        """Take the number of a new alert; the gap before it, if there is one.

        The first alert of a device sets the beginning. A smaller number that was not missing means that the
        device lost its outbox and counts anew.
        """
        highest = self._highest.get(device)
        if (device, sequence) in self._missing:
            del self._missing[device, sequence]
            return None
        self._highest[device] = sequence
        if highest is None or sequence <= highest + 1:
            return None
        for number in range(max(highest + 1, sequence - _REMEMBERED_GAPS), sequence):
            self._missing[device, number] = None
        while len(self._missing) > _REMEMBERED_GAPS:
            self._missing.popitem(last=False)
        return SequenceGap(device, highest + 1, sequence - 1)


class AlertClient:
    """Subscribes to alerts; a context manager, used by one thread (`close` may come from another).

    Args:
        broker: whose `client_id` is not used.
        device, camera: a name, or "+" for all.
        client_id: what the broker knows this receiver by; needed for a session that is kept.
        keep_session_s: for how long the broker shall keep alerts while this receiver is away; 0: not at all.
            mosquitto keeps 1,000 by default (`max_queued_messages`) and only `persistence true` survives its
            own restart.
        share_group: receivers of one group split the alerts between them; none of them can see gaps then.
        acknowledge: tell devices, as their `broker.acknowledge: receiver` asks for, which alerts were taken.

    Raises:
        ConfigError: a kept session without a `client_id`.
    """

    def __init__(
        self,
        broker: BrokerSettings,
        *,
        device: str = "+",
        camera: str = "+",
        client_id: str | None = None,
        keep_session_s: int = 0,
        share_group: str | None = None,
        acknowledge: bool = False,
    ) -> None:
        if keep_session_s and client_id is None:
            raise ConfigError(
                "client", "expected a client_id with keep_session_s, got none", "give it a fixed one"
            )
        self._broker = broker
        self._client_id = client_id or f"edgetrack-client-{ULID()}"
        self._keep_session_s = keep_session_s
        topics = Topics(broker.topic_root, device)
        alerts = topics.alerts(camera)
        self._filters = [f"$share/{share_group}/{alerts}" if share_group else alerts, topics.status]
        self._sees_all = camera == "+" and share_group is None
        self._receipts = Receipts(broker.topic_root) if acknowledge else None
        self._check = SequenceCheck()
        self._ids: OrderedDict[str, None] = OrderedDict()
        self._waker: Waker | None = None
        self._closed = threading.Event()
        self._session: Session | None = None
        self._backlog: deque[Message] = deque()
        self._in_hand: Message | None = None
        self.repeats = 0
        """Alerts that came again and were dropped."""
        self.missing = 0
        """Alerts in gaps so far."""
        self.invalid = 0
        """Messages on alert topics that were no alerts."""

    def open(self) -> Self:
        """Connect and subscribe; what is published after this is received.

        Raises:
            BrokerError: unknown host, refused, wrong password, no right to subscribe …
        """
        waker = Waker()
        session = Session(
            self._broker,
            self._client_id,
            session_expiry_s=self._keep_session_s,
            manual_confirm=True,
            waker=waker,
        )
        self._backlog.clear()
        self._in_hand = None  # of a connection that is no more: it comes again
        try:
            session.open()
            waiting = set(self._filters)
            for topic_filter in self._filters:
                session.subscribe(topic_filter)
            deadline = time.monotonic() + _SUBSCRIBE_TIMEOUT_S
            while waiting and not self._closed.is_set():
                events = session.step(0.2)
                self._backlog += events.messages
                waiting -= set(events.subscribed)
                if events.refused:
                    raise BrokerError(
                        events.refused[0],
                        "expected to subscribe, got a refusal",
                        "check the broker's access rules",
                    )
                if time.monotonic() > deadline:
                    raise BrokerError(self._filters[0], "expected to subscribe, got no answer")
        except BaseException:
            session.close()
            waker.close()
            raise
        self._session, self._waker = session, waker
        return self

    def alerts(self, timeout_s: float | None = None) -> Iterator[AlertPayload]:
        """Alerts as they come, each once; gaps and states are logged.

        Args:
            timeout_s: ends when none came for so long; None: when `close` is called.
        """
        for event in self.events(timeout_s):
            if isinstance(event, AlertPayload):
                yield event
            else:
                _log.log(logging.WARNING if isinstance(event, SequenceGap) else logging.INFO, "%s", event)

    def events(self, timeout_s: float | None = None) -> Iterator[Event]:
        """Alerts, gaps and states as they come; connects again for as long as it takes.

        Args:
            timeout_s: ends when nothing came for so long; None: when `close` is called.

        Raises:
            BrokerError: there is no connection at the beginning.
        """
        if self._session is None:
            self.open()
        backoff = Backoff(0.25, self._broker.reconnect_max_s)
        last_s = time.monotonic()
        self._confirm()
        while not self._closed.is_set():
            self._receive(backoff)
            while self._backlog and not self._closed.is_set():
                self._in_hand = self._backlog.popleft()
                for event in self._understand(self._in_hand):
                    yield event
                    last_s = time.monotonic()
                self._confirm()
            if timeout_s is not None and time.monotonic() - last_s >= timeout_s:
                return

    def _receive(self, backoff: Backoff) -> None:
        """Wait a moment for messages; connect again where there is no connection."""
        if self._backlog:
            return
        try:
            if self._session is None:
                self.open()
                backoff.reset()
            if self._session is not None:
                if self._receipts is not None:
                    self._receipts.send(self._session.publish)
                events = self._session.step(0.2)
                self._backlog.extend(events.messages)
                for refusal in {reason for _, reason in events.published if reason}:
                    _log.error("the broker refuses receipts: %s; check its access rules", refusal)
        except BrokerError as error:
            if self._session is not None:
                _log.warning("%s; connecting again", error)
                self._disconnect()
            self._closed.wait(backoff.next_s())

    def _confirm(self) -> None:
        """Acknowledge the message whose events were taken."""
        message, self._in_hand = self._in_hand, None
        if message is not None and message.qos and self._session is not None:
            self._session.confirm(message)

    def _understand(self, message: Message) -> Iterator[Event]:
        """What a message means; nothing for a repeat."""
        levels = message.topic.removeprefix(self._broker.topic_root + "/").split("/")
        if levels[-1] == "status":
            online = message.payload == b"online"
            if self._receipts is not None and online:
                self._receipts.add(levels[0])
            yield DeviceStatus(levels[0], online)
            return
        try:
            alert = AlertPayload.model_validate_json(message.payload)
        except ValidationError as error:
            self.invalid += 1
            _log.warning("%s: expected an alert, got `%s`", message.topic, error.errors()[0]["msg"])
            return
        if self._receipts is not None:
            self._receipts.add(levels[0], alert.id)
        if alert.id in self._ids:
            self.repeats += 1
            return
        self._ids[alert.id] = None
        if len(self._ids) > _REMEMBERED_IDS:
            self._ids.popitem(last=False)
        gap = self._check.see(alert.device, alert.sequence) if self._sees_all else None
        if gap is not None:
            self.missing += gap.last - gap.first + 1
            yield gap
        yield alert

    def close(self) -> None:
        """End the iterations and disconnect; a kept session stays with the broker."""
        self._closed.set()
        waker = self._waker
        if waker is not None:
            waker.set()

    def _disconnect(self) -> None:
        if self._session is not None and self._waker is not None:
            self._session.close()
            self._waker.close()
        self._session = self._waker = None

    def __enter__(self) -> Self:
        return self.open()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()
        self._disconnect()
