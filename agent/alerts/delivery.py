"""The thread that brings the outbox to the broker."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable

from agent.alerts.complaints import Complaints
from agent.alerts.messages import Message, Waker
from agent.alerts.mqtt import Session
from agent.alerts.outbox import Outbox
from agent.alerts.outgoing import Outgoing
from agent.alerts.receipt_window import ReceiptWindow
from agent.alerts.receipts import parse_receipt
from agent.alerts.settings import BrokerSettings
from agent.alerts.subscriptions import Subscriptions
from agent.alerts.takeover import TakeoverWatch
from agent.alerts.topics import Topics
from agent.alerts.window import REFUSED_WAIT_S, UNHEARD_WAIT_S, AlertWindow
from agent.backoff import Backoff
from agent.errors import BrokerError, EdgetrackError

_log = logging.getLogger("edgetrack.broker")
_SHORTEST_WAIT_S = 0.25
_LEAVING = 0  # no packet identifier


class Delivery:
    """Connects, publishes, waits for acknowledgements, connects again.

    In order, a window at a time, each alert until the broker has acknowledged it, or a receiver where the
    settings say so. The outbox is the only memory: what was in flight when a connection broke is read from
    it again.

    Args:
        settings: the broker.
        topics: of this device.
        outbox: what to bring.
    """

    def __init__(self, settings: BrokerSettings, topics: Topics, outbox: Outbox) -> None:
        self._settings = settings
        self._topics = topics
        self._outbox = outbox
        self._waker = Waker()
        self._idle = threading.Condition()
        self._thread = threading.Thread(target=self._run, name="edgetrack-delivery", daemon=True)
        self._stopped = threading.Event()
        self._stop_at: float | None = None
        self._drain_wanted = False
        self._window = AlertWindow(outbox)
        self._other: dict[int, Message] = {}  # by packet identifier: under way, and no alert
        # Whether alerts that nobody hears come back: then one at a time, so that the order holds.
        self._needs_receiver = settings.needs_receiver and settings.acknowledge == "broker"
        self._cautious = self._needs_receiver
        self._reported: str | None = None
        self._unanswered = False  # whether a message that is no alert was under way at the last one's end
        self._takeovers = TakeoverWatch.of_device(settings, topics.device)
        self._complaints = Complaints()
        self._outgoing = Outgoing(self._complaints)
        self._subscriptions = Subscriptions(self._complaints)
        self.connected = False
        """Whether the broker has accepted this connection, and it still stands."""
        self.protocol = ""
        """MQTT version of the last connection."""
        self.error: str | None = None
        """Why there is no connection; None while there is one."""
        self.sent = self.acknowledged = self.refused = self.connects = 0
        if settings.acknowledge == "receiver":
            receipts = ReceiptWindow(outbox, settings.redeliver_after_s, self._no_receiver)
            self._window = receipts

            def receive(message: Message) -> None:
                self.acknowledged += receipts.receipt(set(parse_receipt(message).ids))

            self.subscribe(topics.acknowledged, receive)

    def start(self) -> None:
        """Begin to connect."""
        self._thread.start()

    def alert_stored(self, topic: str) -> None:
        """Tell that the outbox has something new."""
        self._window.stored(topic)
        self._waker.set()

    def subscribe(
        self, topic_filter: str, callback: Callable[[Message], None], *, retained: bool = False
    ) -> None:
        """Receive messages; before `start`.

        Args:
            topic_filter: with MQTT wildcards.
            callback: called in the delivery's thread, must not wait.
            retained: whether retained messages are wanted.
        """
        self._subscriptions.add(topic_filter, callback, retained=retained)

    def retain(self, topic: str, payload: bytes, *, again: bool = False) -> None:
        """Publish a retained message now and after every reconnect; the newest of a topic counts.

        Args:
            topic: in full.
            payload: empty to remove it.
            again: send it although it is the one that was sent last.
        """
        self._outgoing.retained.put(topic, payload, again=again)
        self._waker.set()

    def send(self, message: Message) -> None:
        """Publish a message that nobody misses: dropped while there is no connection."""
        if self.connected:
            self._outgoing.send(message)
            self._waker.set()

    def stream(self, topic: str, payload: bytes) -> None:
        """Publish at QoS 0 what is soon old: the newest payload of a topic waits, and for no broker."""
        if self.connected:
            self._outgoing.stream(topic, payload)
            self._waker.set()

    @property
    def queued(self) -> int:
        """Alerts that wait; the outbox still holds others that the broker has."""
        return self._window.queued

    def wait_until_empty(self, timeout_s: float) -> bool:
        """Wait until the broker has acknowledged all alerts; False when it did not in time."""
        self._drain_wanted = True
        self._waker.set()
        with self._idle:
            return self._idle.wait_for(lambda: len(self._outbox) == 0, timeout_s)

    def stop(self, timeout_s: float) -> None:
        """Bring what can be brought in `timeout_s`, say offline, disconnect."""
        self._stop_at = time.monotonic() + timeout_s * 0.7
        self._stopped.set()
        self._waker.set()
        if self._thread.ident is None:
            self._waker.close()
        else:
            self._thread.join(timeout_s)

    def _run(self) -> None:
        backoff = Backoff(_SHORTEST_WAIT_S, self._settings.reconnect_max_s)
        while self._stop_at is None:
            try:
                self._attempt(backoff)
            except Exception as error:  # noqa: BLE001 - told, and alerts must go on
                self.error = f"{type(error).__name__}: {error}"
                _log.exception("broker: an unexpected fault; connecting again")
            if self._stop_at is None:
                self._stopped.wait(backoff.next_s())
        self._waker.close()

    def _attempt(self, backoff: Backoff) -> None:
        """Each cause is told once, until a connection was good."""
        acknowledged = self.acknowledged
        try:
            self._connect_and_serve()
        except EdgetrackError as error:
            worked = self.acknowledged > acknowledged
            if self._takeovers.ended(error, worked=worked, unanswered=self._unanswered):
                backoff.reset()
                self._reported = None
            self.error = str(error)
            if self.error != self._reported:
                self._reported = self.error
                _log.warning("%s; alerts wait in the outbox (%d), retrying", error, len(self._outbox))

    def _connect_and_serve(self) -> None:
        will = Message(self._topics.status, b"offline", retain=True)
        client_id = self._takeovers.client_id
        version, self.protocol = self.protocol or None, ""  # forgotten when the broker is not as it was
        session = Session(self._settings, client_id, will=will, waker=self._waker, version=version)
        try:
            session.open()
            self.connected, self.error, self.protocol = True, None, session.protocol
            self.connects += 1
            self._takeovers.connected()
            _log.info("broker %s: connected, MQTT %s", self._settings.url, session.protocol)
            self._serve(session)
        finally:
            self.connected = False
            try:
                session.close()
            finally:
                self._start_over()

    def _start_over(self) -> None:
        # A broker that ends the connection over one message (mosquitto 2.0.11 does, over one that its access
        # rules refuse) takes its answer with it when others are under way. So: one at a time.
        self._cautious = self._needs_receiver or bool(self._window.in_flight)
        if self._stop_at is None:
            self._outgoing.connection_ended(self._other.values(), alerts=bool(self._window.in_flight))
        self._unanswered = bool(self._other)
        self._other.clear()
        self._window.start_over()

    def _serve(self, session: Session) -> None:
        """Work until told to stop."""
        self._subscriptions.ask(session)
        self._outgoing.connected()  # first: what is streamed once the device is told to be online goes out
        online = Message(self._topics.status, b"online", retain=True)
        self._other[session.publish(online)] = online
        while not self._finished():
            self._waker.clear()
            self._send_others(session)
            self._send_alerts(session)
            self._send_suspect(session)
            events = session.step(self._patience_s())
            for mid, refusal in events.published:
                self._settle(mid, refusal, heard=mid not in events.unheard)
            for topic_filter in events.refused:
                self._subscriptions.refused(topic_filter)
            for message in events.messages:
                self._subscriptions.deliver(message)
            self._forget()
        self._say_offline(session)

    def _finished(self) -> bool:
        if self._stop_at is None:
            return False
        done = len(self._outbox) == 0 and not self._outgoing.waits
        return done or time.monotonic() >= self._stop_at

    def _patience_s(self) -> float:
        """How long the next step may wait: the earliest of what is due."""
        if self._drain_wanted or self._stop_at is not None:
            return 0.05
        return min(1.0, self._window.forget_in_s())

    def _send_others(self, session: Session) -> None:
        """Retained messages first come, newest payload; then answers and streams."""
        while len(self._other) + len(self._window.in_flight) < session.window:
            message = self._outgoing.next(congested=session.congested)
            if message is None:
                return
            self._send_other(session, message)

    def _send_suspect(self, session: Session) -> None:
        """A retained message that may end the connection, when nothing else is under way."""
        if not self._other and not self._window.in_flight:
            message = self._outgoing.retained.next(suspect=True)
            if message is not None:
                self._send_other(session, message)

    def _send_other(self, session: Session, message: Message) -> None:
        if not self._outgoing.fits(message, session.max_packet_bytes):
            return
        self._other[_LEAVING] = message  # also when the connection ends while it leaves
        mid = session.publish(message)
        del self._other[_LEAVING]
        if message.qos:
            self._other[mid] = message

    def _send_alerts(self, session: Session) -> None:
        room = 1 if self._cautious else session.window
        while len(self._window.in_flight) + len(self._other) < room:
            alert = self._window.next()
            if alert is None:
                break
            message = Message(alert.topic, alert.payload)
            if not self._outgoing.fits(message, session.max_packet_bytes):
                self._window.hold_back(alert, REFUSED_WAIT_S)
                continue
            self._window.sent(session.publish(message), alert)
            self.sent += 1
        if self._window.waiting_s() > self._settings.acknowledge_timeout_s:
            raise BrokerError(
                f"broker {self._settings.host}:{self._settings.port}",
                f"expected acknowledgements, got none in {self._settings.acknowledge_timeout_s:g} s",
            )

    def _settle(self, mid: int, refusal: str | None, *, heard: bool = True) -> None:
        """The broker's word on one message."""
        if mid not in self._window.in_flight:
            message = self._other.pop(mid, None)
            if message is not None:
                self._outgoing.answered(message, refusal)
        elif refusal is not None:
            self._cautious = True
            topic = self._window.hold(mid, REFUSED_WAIT_S).topic
            self.refused += 1
            self._complaints.add(topic, f"the broker refuses the alert: {refusal}; check its access rules")
        elif self._needs_receiver and not heard:
            self._cautious = True
            topic = self._window.hold(mid, UNHEARD_WAIT_S, longest_wait_s=30.0).topic
            self._complaints.add(topic, "nobody subscribes; alerts wait for a receiver")
        else:
            self._window.acknowledged(mid)
            self.acknowledged += self._settings.acknowledge == "broker"
            self._cautious = False

    def _no_receiver(self, topic: str) -> None:
        self._complaints.add(topic, "no receiver acknowledges; alerts wait, see broker.acknowledge")

    def _forget(self) -> None:
        """Delete what is acknowledged when it is due, at once when somebody waits for the end."""
        nothing_under_way = not self._window.in_flight
        hurry = nothing_under_way and (self._drain_wanted or self._stop_at is not None)
        if hurry or self._window.forget_in_s() <= 0:
            self._window.forget()
        if nothing_under_way and len(self._outbox) == 0:
            self._drain_wanted = False
            with self._idle:
                self._idle.notify_all()

    def _say_offline(self, session: Session) -> None:
        mid = session.publish(Message(self._topics.status, b"offline", retain=True))
        deadline = time.monotonic() + 1.0
        while time.monotonic() < deadline:
            events = session.step(0.1)
            for published, refusal in events.published:
                self._settle(published, refusal, heard=published not in events.unheard)
                if published == mid:
                    return
