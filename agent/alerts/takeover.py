"""Whether another client of the same identifier throws this one out, as brokers do (MQTT 5.0, 3.1.4).

Two devices of one name do so in turn and for ever. MQTT 5 has a reason for it that not every broker sends
(mosquitto 2.0 does not), so connections that are lost soon after they were made tell it too.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable

from agent.alerts.settings import BrokerSettings
from agent.errors import BrokerError, EdgetrackError

_log = logging.getLogger("edgetrack.broker")
_SHORT_S = 5.0  # a connection that is lost sooner may have been taken over
_SHORT_ONES = 3  # so many in a row, and it is said
_STABLE_S = 30.0  # a connection that stood this long was a good one


class ConnectionLostError(BrokerError):
    """A connection that stood has ended.

    Args:
        where: the broker.
        reason: in the broker's words.
    """

    def __init__(self, where: str, reason: str) -> None:
        super().__init__(where, f"expected to stay connected, got `{reason}`")
        self.taken_over = reason == "Session taken over"
        """Whether the broker says that another client has come with this one's identifier (0x8E)."""


class TakeoverWatch:
    """Judges how connections ended; says once that another client is in the way, until one was good.

    Args:
        client_id: of this client.
        advice: what makes the identifier one of its own.
        monotonic: the clock.
    """

    def __init__(
        self, client_id: str, advice: str, *, monotonic: Callable[[], float] = time.monotonic
    ) -> None:
        self.client_id = client_id
        """What the broker knows this client by."""
        self._advice = advice
        self._monotonic = monotonic
        self._connected_s: float | None = None
        self._short_ones = 0
        self._suspected = False

    @classmethod
    def of_device(cls, settings: BrokerSettings, device: str) -> TakeoverWatch:
        """For the agent of a device, which is known by its name unless configured otherwise."""
        if settings.client_id is not None:
            return cls(settings.client_id, "give each device its own `broker.client_id`, or none")
        return cls(f"edgetrack-{device}", "give each device its own `device:` name")

    def connected(self) -> None:
        """A connection stands."""
        self._connected_s = self._monotonic()

    def ended(self, error: EdgetrackError, *, worked: bool, unanswered: bool) -> bool:
        """An attempt to connect failed, or a connection has ended.

        Args:
            error: what ended it.
            worked: whether it brought something.
            unanswered: a retained message was under way; brokers close connections over some.

        Returns:
            Whether it was good: then the next attempt need not wait for long.
        """
        if self._connected_s is None:
            self._short_ones = 0  # the broker is away, and nobody in the way
            return False
        lived_s, self._connected_s = self._monotonic() - self._connected_s, None
        if lived_s > _STABLE_S:
            self._suspected = False
        if lived_s > _SHORT_S:
            self._short_ones = 0
        if isinstance(error, ConnectionLostError):
            self._short_ones += lived_s <= _SHORT_S and not unanswered
            if error.taken_over or self._short_ones >= _SHORT_ONES:
                self._suspect(error)
        return lived_s > _STABLE_S or (worked and not (self._suspected and lived_s <= _SHORT_S))

    def _suspect(self, error: ConnectionLostError) -> None:
        if not self._suspected:
            self._suspected = True
            certain, likely = "another client uses the same id", "another client probably uses the same id"
            found = certain if error.taken_over else likely
            advice = f"and each throws the other out; {self._advice}"
            _log.warning("%s: %s `%s`, %s", error.where, found, self.client_id, advice)
