"""The thread that brings the outbox to the broker."""

from __future__ import annotations

import logging
import threading
import time
from collections import deque
from collections.abc import Callable

from agent.alerts.messages import Message, Waker, matches
from agent.alerts.mqtt import Session
from agent.alerts.outbox import Outbox
from agent.alerts.receipt_window import ReceiptWindow
from agent.alerts.receipts import parse_receipt
from agent.alerts.settings import BrokerSettings
from agent.alerts.topics import Topics
from agent.alerts.window import REFUSED_WAIT_S, UNHEARD_WAIT_S, AlertWindow
from agent.backoff import Backoff
from agent.errors import BrokerError, EdgetrackError

_log = logging.getLogger("edgetrack.broker")
_SHORTEST_WAIT_S = 0.25
_STABLE_S = 30.0  # a connection that stood this long was a good one
_MAX_UNSENT = 200
_MAX_COMPLAINTS = 200


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
        self._lock = threading.Lock()
        self._idle = threading.Condition()
        self._retained: dict[str, bytes] = {}
        self._unsent_retained: dict[str, bytes] = {}
        self._unsent: deque[Message] = deque(maxlen=_MAX_UNSENT)
        self._streams: dict[str, bytes] = {}
        self._thread = threading.Thread(target=self._run, name="edgetrack-delivery", daemon=True)
        self._stopped = threading.Event()
        self._stop_at: float | None = None
        self._drain_wanted = False
        self._window = AlertWindow(outbox)
        self._other: dict[int, str] = {}  # packet identifier: topic, of what is no alert
        # Whether alerts that nobody hears come back: then one at a time, so that the order holds.
        self._needs_receiver = settings.needs_receiver and settings.acknowledge == "broker"
        self._cautious = self._needs_receiver
        self._reported: str | None = None
        self._complaints: set[str] = set()
        self._subscriptions: list[tuple[str, bool, Callable[[Message], None]]] = []
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
        self._subscriptions.append((topic_filter, retained, callback))

    def retain(self, topic: str, payload: bytes, *, again: bool = False) -> None:
        """Publish a retained message now and after every reconnect; the newest of a topic counts.

        Args:
            topic: in full.
            payload: empty to remove it.
            again: send it although it is the one that was sent last.
        """
        with self._lock:
            if self._retained.get(topic) == payload and not again:
                return
            self._retained[topic] = self._unsent_retained[topic] = payload
        self._waker.set()

    def send(self, message: Message) -> None:
        """Publish a message that nobody misses: dropped while there is no connection."""
        if self.connected:
            self._unsent.append(message)
            self._waker.set()

    def stream(self, topic: str, payload: bytes) -> None:
        """Publish at QoS 0 what is soon old: the newest payload of a topic waits, and for no broker."""
        if self.connected:
            with self._lock:
                self._streams[topic] = payload
            self._waker.set()

    @property
    def unforgotten(self) -> int:
        """Alerts that the broker has and the outbox still holds."""
        return self._window.unforgotten

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
                self._connect_and_serve(backoff)
            except EdgetrackError as error:
                self._report(str(error))
            except Exception as error:  # noqa: BLE001 - reported, and alerts must go on
                _log.exception("broker: an unexpected fault; connecting again")
                self._report(f"{type(error).__name__}: {error}")
            if self._stop_at is None:
                self._stopped.wait(backoff.next_s())
        self._waker.close()

    def _report(self, problem: str) -> None:
        """Each cause once, until a connection has stood for a while or brought something."""
        self.error = problem
        if problem != self._reported:
            self._reported = problem
            _log.warning("%s; alerts wait in the outbox (%d), retrying", problem, len(self._outbox))

    def _connect_and_serve(self, backoff: Backoff) -> None:
        will = Message(self._topics.status, b"offline", retain=True)
        client_id = self._settings.client_id or f"edgetrack-{self._topics.device}"
        version, self.protocol = self.protocol or None, ""  # forgotten when the broker is not as it was
        session = Session(self._settings, client_id, will=will, waker=self._waker, version=version)
        try:
            session.open()
            self.connected, self.error, self.protocol = True, None, session.protocol
            self.connects += 1
            _log.info("broker %s: connected, MQTT %s", self._settings.url, session.protocol)
            connected_s, acknowledged = time.monotonic(), self.acknowledged
            try:
                self._serve(session)
            finally:
                if time.monotonic() - connected_s > _STABLE_S or self.acknowledged > acknowledged:
                    backoff.reset()
                    self._reported = None
        finally:
            self.connected = False
            # A broker that ends the connection over one message (mosquitto 2.0.11 does, over one that its
            # access rules refuse) takes its answer with it when others are under way. So: one at a time.
            self._cautious = self._needs_receiver or bool(self._window.in_flight)
            self._window.start_over()
            self._other.clear()
            session.close()

    def _serve(self, session: Session) -> None:
        """Work until told to stop."""
        for topic_filter, retained, _ in self._subscriptions:
            session.subscribe(topic_filter, retained=retained)
        self._other[session.publish(Message(self._topics.status, b"online", retain=True))] = (
            self._topics.status
        )
        with self._lock:
            self._unsent_retained = dict(self._retained)
            self._streams.clear()
        while not self._finished():
            self._waker.clear()
            self._send_others(session)
            self._send_alerts(session)
            events = session.step(self._patience_s())
            for mid, refusal in events.published:
                self._settle(mid, refusal, heard=mid not in events.unheard)
            for topic_filter in events.refused:
                self._complain(topic_filter, "the broker refuses the subscription; check its access rules")
            for message in events.messages:
                self._deliver(message)
            self._forget()
        self._say_offline(session)

    def _finished(self) -> bool:
        if self._stop_at is None:
            return False
        return time.monotonic() >= self._stop_at or (len(self._outbox) == 0 and not self._unsent)

    def _patience_s(self) -> float:
        """How long the next step may wait: the earliest of what is due."""
        if self._drain_wanted or self._stop_at is not None:
            return 0.05
        return min(1.0, self._window.forget_in_s())

    def _send_others(self, session: Session) -> None:
        """Retained messages first come, newest payload; then answers and streams."""
        while len(self._other) + len(self._window.in_flight) < session.window:
            with self._lock:
                if self._unsent_retained:
                    topic = next(iter(self._unsent_retained))
                    message = Message(topic, self._unsent_retained.pop(topic), retain=True)
                elif self._unsent:
                    message = self._unsent.popleft()
                elif self._streams and not session.congested:
                    topic = next(iter(self._streams))
                    message = Message(topic, self._streams.pop(topic), qos=0)
                else:
                    return
            mid = session.publish(message)
            if message.qos:
                self._other[mid] = message.topic

    def _send_alerts(self, session: Session) -> None:
        room = 1 if self._cautious else session.window
        while len(self._window.in_flight) + len(self._other) < room:
            alert = self._window.next()
            if alert is None:
                break
            self._window.sent(session.publish(Message(alert.topic, alert.payload)), alert)
            self.sent += 1
        if self._window.waiting_s() > self._settings.acknowledge_timeout_s:
            raise BrokerError(
                f"broker {self._settings.host}:{self._settings.port}",
                f"expected acknowledgements, got none in {self._settings.acknowledge_timeout_s:g} s",
            )

    def _settle(self, mid: int, refusal: str | None, *, heard: bool = True) -> None:
        """The broker's word on one message."""
        if mid not in self._window.in_flight:
            topic = self._other.pop(mid, None)
            if topic is not None and refusal is not None:
                self._complain(topic, f"the broker refuses the message: {refusal}; check its access rules")
        elif refusal is not None:
            self._cautious = True
            topic = self._window.hold(mid, REFUSED_WAIT_S).topic
            self.refused += 1
            self._complain(topic, f"the broker refuses the alert: {refusal}; check its access rules")
        elif self._needs_receiver and not heard:
            self._cautious = True
            topic = self._window.hold(mid, UNHEARD_WAIT_S, longest_wait_s=30.0).topic
            self._complain(topic, "nobody subscribes; alerts wait for a receiver")
        else:
            self._window.acknowledged(mid)
            self.acknowledged += self._settings.acknowledge == "broker"
            self._cautious = False

    def _no_receiver(self, topic: str) -> None:
        self._complain(topic, "no receiver acknowledges; alerts wait, see broker.acknowledge")

    def _complain(self, topic: str, problem: str) -> None:
        """Each fault once in the life of the process."""
        line = f"{topic}: {problem}"
        if line not in self._complaints and len(self._complaints) < _MAX_COMPLAINTS:
            self._complaints.add(line)
            _log.error("%s", line)

    def _deliver(self, message: Message) -> None:
        for topic_filter, _, callback in self._subscriptions:
            if matches(topic_filter, message.topic):
                try:
                    callback(message)
                except EdgetrackError as error:
                    self._complain(error.where, error.problem)
                except Exception:  # noqa: BLE001 - reported, and alerts must go on
                    _log.exception("%s: expected the message to be taken, got a fault", message.topic)

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
            for published, refusal in session.step(0.1).published:
                self._settle(published, refusal)
                if published == mid:
                    return
