"""A receiver that runs beside a fault, and what it says about it afterwards."""

from __future__ import annotations

import itertools
import threading
import time
from collections import defaultdict
from dataclasses import asdict, dataclass
from types import TracebackType
from typing import Self

from agent.alerts.settings import BrokerSettings
from agent.client import AlertClient


@dataclass(frozen=True)
class Verdict:
    """What came of what was published.

    Args:
        committed: alerts whose `publish` returned.
        received: different ones that came.
        lost: committed and never received.
        repeats: received again, dropped by their id.
        out_of_order: received with a smaller number than one before, per camera.
    """

    committed: int
    received: int
    lost: int
    repeats: int
    out_of_order: int

    def as_dict(self) -> dict[str, int]:
        return asdict(self)


class Receiving:
    """Receives all alerts of a broker in a thread until the block ends.

    Args:
        url: of the broker.
        keep_session_s, acknowledge: as for `AlertClient`.
    """

    def __init__(self, url: str, *, keep_session_s: int = 3600, acknowledge: bool = False) -> None:
        self._url, self._keep_session_s, self._acknowledge = url, keep_session_s, acknowledge
        self._client = self._make_client()
        self._repeats = 0
        self.ids: set[str] = set()
        self._numbers: dict[str, list[int]] = defaultdict(list)
        self._thread = threading.Thread(target=self._run)

    def _make_client(self) -> AlertClient:
        return AlertClient(
            BrokerSettings(url=self._url, reconnect_max_s=0.2),
            client_id="receiver",
            keep_session_s=self._keep_session_s,
            acknowledge=self._acknowledge,
        )

    def _run(self) -> None:
        for alert in self._client.alerts():
            if alert.id in self.ids:  # of a client that was restarted and knows them no more
                self._repeats += 1
                continue
            self.ids.add(alert.id)
            self._numbers[alert.camera].append(alert.sequence)

    def restart(self, away_s: float) -> None:
        """End the client and, a while later, start one that remembers nothing."""
        self._end()
        time.sleep(away_s)
        self._client = self._make_client()
        self._client.open()
        self._thread = threading.Thread(target=self._run)
        self._thread.start()

    def _end(self) -> None:
        self._client.close()
        self._thread.join()
        self._client.__exit__(None, None, None)
        self._repeats += self._client.repeats

    def wait_for(self, committed: set[str], timeout_s: float) -> None:
        """Until all have come, or nothing new for `timeout_s`."""
        seen, since = -1, time.monotonic()
        while not committed <= self.ids and time.monotonic() - since < timeout_s:
            if len(self.ids) != seen:
                seen, since = len(self.ids), time.monotonic()
            time.sleep(0.02)

    def verdict(self, committed: set[str]) -> Verdict:
        return Verdict(
            committed=len(committed),
            received=len(self.ids),
            lost=len(committed - self.ids),
            repeats=self._repeats + self._client.repeats,
            out_of_order=sum(
                later < earlier
                for numbers in self._numbers.values()
                for earlier, later in itertools.pairwise(numbers)
            ),
        )

    def __enter__(self) -> Self:
        self._client.open()
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._end()
