"""A child process with a socket and a shared memory, whose last words and way of ending are kept."""

from __future__ import annotations

import os
import select
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Mapping

_KEPT_ENVIRONMENT = ("PATH", "HOME", "LANG", "LC_ALL", "LD_LIBRARY_PATH", "PYTHONHOME", "TMPDIR")
_KEPT_OUTPUT = 4096  # bytes of what the process said last
_END_S = 1.0  # for a process that was asked to end, or killed


class ChildProcess:
    """Runs a Python module and keeps in touch with it.

    It gets none of the agent's environment beyond what starting needs: no credentials, no service manager's
    socket. Only the thread that made this object may call `wait` and `close`; a child that binds its life to
    its parent dies with that thread (PR_SET_PDEATHSIG), not only with the process.

    Args:
        module: run as `python -m module SOCKET MEMORY PARENT …`, the first two inherited descriptors.
        words: what follows on its command line.
        environment: further variables for it.

    Raises:
        OSError: it cannot be started.
    """

    def __init__(
        self, module: str, words: Callable[[int, int], list[str]], environment: Mapping[str, str]
    ) -> None:
        self._said = bytearray()
        self._said_lock = threading.Lock()
        self.memory_fd = os.memfd_create("edgetrack-model", os.MFD_CLOEXEC | os.MFD_ALLOW_SEALING)
        """Shared memory of no size yet; it has no name, so that nothing is left behind by any end."""
        self.channel, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        self._output_fd, output = os.pipe()
        os.set_blocking(self._output_fd, False)
        try:
            self._process = subprocess.Popen(
                [sys.executable, "-P", "-m", module, *words(theirs.fileno(), self.memory_fd)],
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                pass_fds=(theirs.fileno(), self.memory_fd),
                env=_environment() | dict(environment),
            )
        except OSError:
            self._close_descriptors()
            raise
        finally:
            theirs.close()
            os.close(output)

    @property
    def pid(self) -> int:
        """Of the process."""
        return self._process.pid

    def first_message(self, timeout_s: float, max_bytes: int) -> bytes:
        """The first message; what the process says meanwhile is read, so that it never blocks on it.

        Returns:
            The message; empty when the process closed its end.

        Raises:
            TimeoutError: there is none.
        """
        poll = select.poll()
        poll.register(self.channel, select.POLLIN)
        poll.register(self._output_fd, select.POLLIN)
        end_s = time.monotonic() + timeout_s
        while (left_s := end_s - time.monotonic()) > 0:
            ready = dict(poll.poll(left_s * 1e3))
            if self.channel.fileno() in ready:
                try:
                    return self.channel.recv(max_bytes)
                except OSError:
                    return b""
            if self._output_fd in ready and not self._read_output():
                poll.unregister(self._output_fd)
        raise TimeoutError

    def wait(self, timeout_s: float) -> bool:
        """Read what the process says until it ends; True when it has ended within the time."""
        poll = select.poll()
        poll.register(self._output_fd, select.POLLIN)
        end_s = time.monotonic() + timeout_s
        while (left_s := end_s - time.monotonic()) > 0:
            if poll.poll(left_s * 1e3) and not self._read_output():
                return self._reap() is not None
        return False

    def hang_up(self) -> None:
        """Ask the process to end, from any thread: it reads the end of its socket."""
        try:
            self.channel.shutdown(socket.SHUT_RDWR)
        except OSError:  # it is gone already
            return

    def kill(self) -> None:
        """End the process, from any thread, without waiting for it."""
        self._process.kill()

    def close(self) -> None:
        """Let the process release its device and end; kill it when it does not; give all descriptors back."""
        self.hang_up()
        if not self.wait(_END_S):
            self._process.kill()
            self._reap()
        self._close_descriptors()

    def death(self) -> str:
        """How the process ended, with its last words, for the text of an error; from any thread."""
        code = self._reap()
        if code is None:
            how = "its process hung up"
        elif code < 0:
            how = f"its process died of {_signal_name(-code)}"
        else:
            how = f"its process ended with exit code {code}"
        while self._read_output():
            continue
        words = _last_line(bytes(self._said))
        return f"{how} ({words})" if words else how

    def _read_output(self) -> bool:
        """Keep the end of what the process says; False when there is nothing now, or nothing more."""
        with self._said_lock:
            try:
                said = os.read(self._output_fd, _KEPT_OUTPUT)
            except OSError:  # nothing now
                return False
            self._said += said
            del self._said[:-_KEPT_OUTPUT]
            return bool(said)

    def _reap(self) -> int | None:
        """Exit code, negative for a signal; None when the process does not end (stuck in a driver)."""
        try:
            return self._process.wait(_END_S)
        except subprocess.TimeoutExpired:
            return None

    def _close_descriptors(self) -> None:
        self.channel.close()
        with self._said_lock:
            for descriptor in (self.memory_fd, self._output_fd):
                if descriptor >= 0:
                    os.close(descriptor)
            self.memory_fd = self._output_fd = -1


def _environment() -> dict[str, str]:
    """What a Python process needs to find the same modules as this one."""
    kept = {name: os.environ[name] for name in _KEPT_ENVIRONMENT if name in os.environ}
    return {**kept, "PYTHONPATH": os.pathsep.join(place for place in sys.path if place)}


def _signal_name(number: int) -> str:
    try:
        return signal.Signals(number).name
    except ValueError:
        return f"signal {number}"


def _last_line(said: bytes) -> str:
    """The last line that is more than information, printable, at most 200 characters."""
    lines = [line.strip() for line in said.decode(errors="replace").splitlines()]
    lines = [line for line in lines if line and not line.startswith("INFO:")]
    return "".join(letter for letter in lines[-1] if letter.isprintable())[:200] if lines else ""
