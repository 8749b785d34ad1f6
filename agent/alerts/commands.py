"""What a device can be told over MQTT: `request/<name>` in, `response/<name>` out.

A request is a JSON object, or nothing where the command needs no more. A `transaction`, whatever text the
sender likes, comes back with the response. A command is taken whole or refused whole. Answers go to the
device's own response topic only: nothing in a message chooses where the agent writes.
"""

from __future__ import annotations

import contextlib
import json
import logging
import queue
import re
import threading
import time
from collections import OrderedDict
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Annotated, Any, ClassVar, Literal

from pydantic import ConfigDict, Field, ValidationError

from agent.alerts.messages import Message
from agent.alerts.schema import Part
from agent.alerts.topics import Topics
from agent.errors import EdgetrackError
from agent.settings import Fraction, Name

_log = logging.getLogger("edgetrack.commands")
MAX_REQUEST_BYTES = 4096
_PER_SECOND, _BURST = 5.0, 20.0
_REMEMBERED, _REMEMBERED_S = 100, 60.0
_SHOWN = 40
_NAME = re.compile(r"[a-z_]{1,32}")


class Command(Part):
    """Base of every command; nothing is taken for what it is not, `"no"` for false or `"0.4"` for 0.4."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True, use_attribute_docstrings=True)
    name: ClassVar[str]
    transaction: Annotated[str, Field(max_length=64)] | None = None
    """Comes back with the response; within a minute, the same request again is not carried out again."""


class SetArmed(Command):
    """Arm or disarm rules; disarmed ones raise no alerts until they are armed again, also after a restart."""

    name = "set_armed"
    armed: bool
    """true or false"""
    camera: Name | None = None
    """All cameras when left out."""
    rule: Name | None = None
    """All rules when left out."""


class Snapshot(Command):
    """Publish a picture of now."""

    name = "snapshot"
    camera: Name
    """Whose picture."""


class ResetCounts(Command):
    """Set counts to nothing."""

    name = "reset_counts"
    camera: Name | None = None
    """All cameras when left out."""
    place: Name | None = None
    """A zone or tripwire; all when left out."""


class SetMinScore(Command):
    """Take detections from this score on, until the configuration is loaded again."""

    name = "set_min_score"
    camera: Name
    """Whose detector."""
    min_score: Fraction
    """0..1"""


class Reload(Command):
    """Load the configuration again; a bad one is refused whole and the old one goes on."""

    name = "reload"


class TestAlert(Command):
    """Send an alert of kind `test`, to see that it arrives."""

    __test__: ClassVar[bool] = False  # pytest: not a test
    name = "test_alert"
    camera: Name
    """Under whose topic."""


class Pause(Command):
    """Look at a camera no more until `resume`, over restarts too; its open incidents end as `blind`."""

    name = "pause"
    camera: Name
    """Which one."""


class Resume(Command):
    """Look at a paused camera again."""

    name = "resume"
    camera: Name
    """Which one."""


COMMANDS: Mapping[str, type[Command]] = {
    command.name: command
    for command in (SetArmed, Snapshot, ResetCounts, SetMinScore, Reload, TestAlert, Pause, Resume)
}


class Response(Part):
    """The answer to a request."""

    transaction: str | None = None
    """As in the request."""
    status: Literal["ok", "error"]
    """Whether it was carried out; on error nothing has changed."""
    error: str | None = None
    """What was wrong."""
    data: dict[str, Any] = {}
    """What the command gives back."""


class CommandError(EdgetrackError):
    """A request that is refused."""


def parse_request(name: str, payload: bytes) -> Command:
    """The command that a request names.

    Args:
        name: last level of the topic.
        payload: JSON object, or empty.

    Raises:
        CommandError: unknown, too large, no JSON object, a field missing, unknown or wrong; `where` is the
            command's name.
    """
    kind = COMMANDS.get(name)
    if kind is None:
        raise CommandError("request", f"expected one of {', '.join(COMMANDS)}, got an unknown command")
    if len(payload) > MAX_REQUEST_BYTES:
        raise CommandError(name, f"expected {MAX_REQUEST_BYTES} bytes at most, got {len(payload)}")
    try:
        return kind.model_validate_json(payload or b"{}")
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        place = _named(".".join(str(part) for part in first["loc"]))
        raise CommandError(f"{name} {place}".rstrip(), _fault(first["type"], first, kind)) from error


def _fault(fault: str, detail: Mapping[str, Any], kind: type[Command]) -> str:
    """`expected X, got Y` for one pydantic error."""
    context = detail.get("ctx", {})
    if fault == "missing":
        return "expected a value, got nothing"
    if fault == "extra_forbidden":
        return f"expected one of {', '.join(kind.model_fields)}, got an unknown field"
    if fault == "json_invalid":
        return f"expected a JSON object, got a fault: {context['error']}"
    if fault.startswith("model"):
        return "expected a JSON object, got something else"
    shown = _shown(detail["input"])
    if fault.startswith("bool"):
        return f"expected true or false, got {shown}"
    if fault == "string_pattern_mismatch":
        return f"expected letters, digits, _ and - (64 at most, the first no - or _), got {shown}"
    wanted = str(detail["msg"]).partition(",")[0]
    for opening in ("Input should be ", "String should have "):
        wanted = wanted.removeprefix(opening)
    return f"expected {wanted}, got {shown}"


def _shown(value: object) -> str:
    """What a sender wrote, on one line and not too long for the log."""
    text = repr(value)
    return text if len(text) <= _SHOWN else text[:_SHOWN] + "…"


def _named(name: str) -> str:
    """A name as the sender wrote it where it looks like one; it may be anything."""
    return name if not name or _NAME.fullmatch(name) else _shown(name)


@dataclass(frozen=True, slots=True)
class _Answered:
    """A command that was carried out, its answer, and when (monotonic)."""

    command: Command
    response: Response
    time_s: float


class CommandHandler:
    """Parses, limits, carries out and answers; in a thread of its own, one at a time.

    Args:
        topics: of this device.
        act: carries a command out and returns what to answer with; raises EdgetrackError to refuse.
        send: publishes the answer.
        monotonic: the clock.
    """

    def __init__(
        self,
        topics: Topics,
        act: Callable[[Command], Mapping[str, Any] | None],
        send: Callable[[Message], None],
        *,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        self._prefix = topics.request("")
        self._topics = topics
        self._act = act
        self._send = send
        self._monotonic = monotonic
        self._tokens, self._refilled_s = _BURST, monotonic()
        self._answers: OrderedDict[tuple[str, str], _Answered] = OrderedDict()
        self._waiting: queue.Queue[Message | None] = queue.Queue(maxsize=int(_BURST))
        self._thread = threading.Thread(target=self._run, name="edgetrack-commands", daemon=True)
        self._thread.start()
        self.refused = 0
        """Requests that were not carried out."""

    def receive(self, message: Message) -> None:
        """Take a message from a request topic; never waits, never raises."""
        now = self._monotonic()
        self._tokens = min(_BURST, self._tokens + (now - self._refilled_s) * _PER_SECOND)
        self._refilled_s = now
        if self._tokens < 1.0 or self._waiting.full():
            self.refused += 1  # no answer: it would cost as much as the request
            return
        self._tokens -= 1.0
        self._waiting.put_nowait(message)

    def close(self) -> None:
        """End the thread after the command at work."""
        with contextlib.suppress(queue.Empty):  # the thread takes them too
            while True:
                self._waiting.get_nowait()
        self._waiting.put(None)
        self._thread.join(2.0)

    def _run(self) -> None:
        while (message := self._waiting.get()) is not None:
            name = message.topic.removeprefix(self._prefix)
            response = self._answer(name, message)
            if response.status == "error":
                self.refused += 1
                _log.warning("%s", response.error)
            if _NAME.fullmatch(name):
                content = response.model_dump_json(exclude_none=True).encode()
                self._send(Message(self._topics.response(name), content, correlation=message.correlation))

    def _answer(self, name: str, message: Message) -> Response:
        transaction = _transaction_of(message.payload)
        if message.retain:
            # It would be carried out again at every connect.
            problem = "expected no retained message, got one"
            return Response(status="error", error=f"request {_named(name)}: {problem}")
        try:
            command = parse_request(name, message.payload)
            answer = self._answer_to_repeat(command)
            if answer is not None:
                return answer
            data = self._act(command)
            response = Response(transaction=command.transaction, status="ok", data=dict(data or {}))
        except EdgetrackError as error:
            return Response(transaction=transaction, status="error", error=str(error))
        except Exception as error:  # noqa: BLE001 - reported; the next command is served
            _log.exception("request %s: the command failed", name)
            return Response(transaction=transaction, status="error", error=f"{name}: {type(error).__name__}")
        self._remember(command, response)
        return response

    def _answer_to_repeat(self, command: Command) -> Response | None:
        """The answer that the same request had; None where its transaction now means another, or is old."""
        known = self._answers.get((command.name, command.transaction or ""))
        if known is None or known.command != command:
            return None
        return known.response if self._monotonic() - known.time_s < _REMEMBERED_S else None

    def _remember(self, command: Command, response: Response) -> None:
        if command.transaction is None:
            return
        key = (command.name, command.transaction)
        self._answers[key] = _Answered(command, response, self._monotonic())
        self._answers.move_to_end(key)
        if len(self._answers) > _REMEMBERED:
            self._answers.popitem(last=False)


def _transaction_of(payload: bytes) -> str | None:
    """The transaction of a request that may be refused, so that the sender knows which."""
    if len(payload) > MAX_REQUEST_BYTES:
        return None
    try:
        content = json.loads(payload)
        transaction = content.get("transaction") if isinstance(content, dict) else None
        if not isinstance(transaction, str) or len(transaction) > 64:
            return None
        transaction.encode()  # json.loads takes half a surrogate pair, which no answer can carry
    except (ValueError, RecursionError):
        return None
    return transaction
