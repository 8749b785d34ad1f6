"""A TCP proxy on the loopback that can delay, lose, stall and cut the connections through it."""

from __future__ import annotations

import contextlib
import random
import selectors
import socket
import threading
import time
from collections import deque
from types import TracebackType
from typing import Self


class Proxy:
    """Forwards every connection to a port, until told otherwise.

    Args:
        target: TCP port on the loopback.
        delay_s: each way.
        loss: chance of a packet (what one read brings, 1,400 bytes at most) to be lost. As TCP makes of it,
            it and all behind it come later: after a retransmission timeout of 0.2 s and a round trip, doubled
            each time that the repeat is lost too (RFC 6298).
        seed: of the losses.
    """

    def __init__(self, target: int, delay_s: float = 0.0, loss: float = 0.0, seed: int = 1) -> None:
        self._target = target
        self.delay_s = delay_s
        self.loss = loss
        self._random = random.Random(seed)
        self.packets = self.lost_packets = 0
        """How many there were, and how many of them were lost, repeats counted."""
        self.stalled = False
        """Takes connections and bytes and forwards none: what a dead link looks like from inside."""
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port: int = self._listener.getsockname()[1]
        self._closed = threading.Event()
        self._pairs: list[tuple[socket.socket, socket.socket]] = []
        self._lock = threading.Lock()
        self.connections = 0
        """How many there were."""
        threading.Thread(target=self._accept, daemon=True).start()

    @property
    def url(self) -> str:
        return f"mqtt://127.0.0.1:{self.port}"

    def _accept(self) -> None:
        while not self._closed.is_set():
            try:
                inner, _ = self._listener.accept()
            except OSError:
                return
            self.connections += 1
            try:
                outer = socket.create_connection(("127.0.0.1", self._target))
            except OSError:
                inner.close()
                continue
            with self._lock:
                self._pairs.append((inner, outer))
            threading.Thread(target=self._forward, args=(inner, outer), daemon=True).start()

    def _forward(self, inner: socket.socket, outer: socket.socket) -> None:
        waiting: dict[socket.socket, deque[tuple[float, bytes]]] = {inner: deque(), outer: deque()}
        with selectors.DefaultSelector() as selector, contextlib.suppress(OSError, ValueError):
            selector.register(inner, selectors.EVENT_READ, outer)
            selector.register(outer, selectors.EVENT_READ, inner)
            while not self._closed.is_set():
                for key, _ in selector.select(0.005):
                    content = key.fileobj.recv(1400 if self.loss else 65536)  # type: ignore[union-attr]
                    if not content:
                        raise OSError("closed")
                    waiting[key.data].append((time.monotonic() + self._takes_s(), content))
                for to, packets in waiting.items():
                    while packets and not self.stalled and packets[0][0] <= time.monotonic():
                        to.sendall(packets.popleft()[1])
        for end in (inner, outer):
            end.close()

    def _takes_s(self) -> float:
        """How long a packet is under way, its repeats included."""
        takes_s, timeout_s = self.delay_s, 0.2 + 2 * self.delay_s
        self.packets += 1
        while self._random.random() < self.loss:
            self.packets += 1
            self.lost_packets += 1
            takes_s += timeout_s
            timeout_s *= 2
        return takes_s

    def cut(self) -> None:
        """Reset every connection."""
        with self._lock:
            pairs, self._pairs = self._pairs, []
        for pair in pairs:
            for end in pair:
                with contextlib.suppress(OSError):
                    end.shutdown(socket.SHUT_RDWR)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._closed.set()
        self._listener.close()
        self.cut()
