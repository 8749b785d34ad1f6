"""Receive alerts in a program of your own.

    from agent.alerts.settings import BrokerSettings
    from agent.client import AlertClient

    broker = BrokerSettings(url="mqtt://broker.local")
    with AlertClient(broker, client_id="siren", keep_session_s=86400) as client:
        for alert in client.alerts():
            print(alert.time, alert.camera, alert.rule, alert.track.label if alert.track else "")

An alert is confirmed to the broker when the loop asks for the next one: with `client_id` and
`keep_session_s` one that a crash interrupted comes again. Repeats are dropped by their id, and gaps in a
device's numbers are told, unless they close within 10 s. Where devices are configured with
`broker.acknowledge: receiver`, one receiver with `acknowledge=True` tells them which they may forget.

Several receivers of one `share_group` split the alerts between them. `only` says which alerts are wanted;
`events` tells of gaps, of devices that come and go and, where asked for, of pictures and objects in sight.
"""

from __future__ import annotations

import logging
import math
import re
import threading
import time
from collections import OrderedDict, deque
from collections.abc import Iterator
from dataclasses import replace
from types import TracebackType
from typing import Self, TypeVar

from pydantic import ValidationError
from ulid import ULID

from agent.alerts.messages import Message, Waker
from agent.alerts.mqtt import Session
from agent.alerts.receipts import Receipts
from agent.alerts.schema import AlertPayload
from agent.alerts.settings import BrokerSettings
from agent.alerts.takeover import TakeoverWatch
from agent.alerts.topics import Topics
from agent.alerts.track_stream import TracksPayload
from agent.backoff import Backoff
from agent.client_events import AlertFilter, DeviceStatus, Event, SequenceGap, SnapshotPicture
from agent.client_gaps import GRACE_S, SequenceCheck
from agent.errors import BrokerError, ConfigError

__all__ = [
    "AlertClient",
    "AlertFilter",
    "DeviceStatus",
    "Event",
    "SequenceCheck",
    "SequenceGap",
    "SnapshotPicture",
    "TracksPayload",
]

_log = logging.getLogger("edgetrack.client")
_REMEMBERED_IDS = 20_000
_SUBSCRIBE_TIMEOUT_S = 5.0
_LEVEL = re.compile(r"[^/+#\0]+")

Payload = TypeVar("Payload", AlertPayload, TracksPayload)


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
        only: the alerts that are wanted; the others count for gaps and are confirmed.
        snapshots, tracks: whether `events` gives the pictures of alerts and the stream of tracks too.
        gap_grace_s: how long a number may be passed over until a gap is told: cameras overtake each other.

    Raises:
        ConfigError: a kept session without a `client_id`; a name that is no topic level.
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
        only: AlertFilter | None = None,
        snapshots: bool = False,
        tracks: bool = False,
        gap_grace_s: float = GRACE_S,
    ) -> None:
        if keep_session_s and client_id is None:
            raise ConfigError(
                "client", "expected a client_id with keep_session_s, got none", "give it a fixed one"
            )
        for where, level in (("device", device), ("camera", camera), ("share group", share_group)):
            if level is not None and level != "+" and not _LEVEL.fullmatch(level):
                raise ConfigError(where, f"expected one topic level without / + and #, got {level!r}")
        self._broker = broker
        self._client_id = client_id or f"edgetrack-client-{ULID()}"
        self._takeovers = TakeoverWatch(self._client_id, "give each receiver its own client_id")
        self._keep_session_s = keep_session_s
        topics = Topics(broker.topic_root, device)
        alerts = topics.alerts(camera)
        shared = f"$share/{share_group}/" if share_group else ""
        self._filters = [shared + alerts, topics.status]
        if snapshots:
            self._filters.append(topics.snapshot(camera, "+"))
        if tracks:
            self._filters.append(topics.tracks(camera))
        self._only = only or AlertFilter()
        self._sees_all = camera == "+" and share_group is None
        self._receipts = Receipts(broker.topic_root) if acknowledge else None
        self._check = SequenceCheck(gap_grace_s)
        self._listened_s = 0.0  # a caller that takes its time does not make alerts late
        self._ids: OrderedDict[str, None] = OrderedDict()
        self._waker: Waker | None = None
        self._closed = threading.Event()
        self._session: Session | None = None
        self._backlog: deque[Message] = deque()
        self._in_hand: Message | None = None
        self.repeats = 0
        """Alerts that came again and were dropped."""
        self.invalid = 0
        """Messages that were not what their topic promises."""

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
        # What came over a connection that is no more cannot be confirmed; the broker may have lost it too.
        self._backlog = deque(replace(message, qos=0) for message in self._backlog)
        self._in_hand = None
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
        self._takeovers.connected()
        return self

    @property
    def missing(self) -> int:
        """Alerts that were passed over and have not come so far; what comes late is taken off again."""
        return self._check.missing

    def untold_gaps(self) -> list[SequenceGap]:
        """Gaps whose grace is not over, for one who stops listening now; they are told by this."""
        return self._check.due(math.inf)

    def alerts(self, timeout_s: float | None = None) -> Iterator[AlertPayload]:
        """Alerts as they come, each once; gaps and states of devices are logged.

        Args:
            timeout_s: ends when none came for so long; None: when `close` is called.
        """
        for event in self.events(timeout_s):
            if isinstance(event, AlertPayload):
                yield event
            elif isinstance(event, SequenceGap | DeviceStatus):
                _log.log(logging.WARNING if isinstance(event, SequenceGap) else logging.INFO, "%s", event)

    def events(self, timeout_s: float | None = None) -> Iterator[Event]:
        """Alerts and what else is asked for, as they come; connects again for as long as it takes.

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
            if not self._backlog:
                self._receive(backoff)
            while self._backlog and not self._closed.is_set():
                self._in_hand = self._backlog.popleft()
                for event in self._understand(self._in_hand):
                    yield event
                    last_s = time.monotonic()
                self._confirm()
            for gap in self._check.due_by_now(self._listened_s):
                yield gap
                last_s = time.monotonic()
            if timeout_s is not None and time.monotonic() - last_s >= timeout_s:
                return

    def _receive(self, backoff: Backoff) -> None:
        """Wait a moment for messages; connect again where there is no connection."""
        try:
            if self._session is None:
                self.open()
            if self._session is not None:
                if self._receipts is not None:
                    self._receipts.send(self._session.publish)
                started_s = time.monotonic()
                events = self._session.step(0.2)
                self._listened_s += time.monotonic() - started_s
                self._backlog.extend(events.messages)
                for refusal in {reason for _, reason in events.published if reason}:
                    _log.error("the broker refuses receipts: %s; check its access rules", refusal)
        except BrokerError as error:
            if self._takeovers.ended(error, worked=True, unanswered=False):
                backoff.reset()
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
        match message.topic.removeprefix(self._broker.topic_root + "/").split("/"):
            case [device, "status"]:
                online = message.payload == b"online"
                if self._receipts is not None and online:
                    self._receipts.add(device)
                yield DeviceStatus(device, online)
            case [device, camera, "snapshot", rule]:
                if message.payload:  # empty: taken back
                    yield SnapshotPicture(device, camera, rule, message.payload)
            case [_, _, "tracks"]:
                if (tracks := self._parsed(message, TracksPayload)) is not None:
                    yield tracks
            case [device, *_]:
                if (alert := self._parsed(message, AlertPayload)) is not None:
                    yield from self._take(alert, device)

    def _parsed(self, message: Message, kind: type[Payload]) -> Payload | None:
        try:
            return kind.model_validate_json(message.payload)
        except ValidationError as error:
            self.invalid += 1
            fault = error.errors(include_url=False)[0]["msg"]
            _log.warning("%s: expected %s, got `%s`", message.topic, kind.__name__, fault)
            return None

    def _take(self, alert: AlertPayload, device: str) -> Iterator[Event]:
        if self._receipts is not None:
            self._receipts.add(device, alert.id)
        if alert.id in self._ids:
            self.repeats += 1
            return
        self._ids[alert.id] = None
        if len(self._ids) > _REMEMBERED_IDS:
            self._ids.popitem(last=False)
        if self._sees_all:
            self._check.see(alert.device, alert.camera, alert.sequence, self._listened_s)
        if self._only.takes(alert):
            yield alert

    def close(self) -> None:
        """End the iterations and disconnect; a kept session stays with the broker."""
        self._closed.set()
        if (waker := self._waker) is not None:
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
