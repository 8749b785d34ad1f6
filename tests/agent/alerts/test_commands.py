from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from agent.alerts.commands import (
    COMMANDS,
    MAX_REQUEST_BYTES,
    Command,
    CommandError,
    CommandHandler,
    Reload,
    SetArmed,
    SetMinScore,
    parse_request,
)
from agent.alerts.messages import Message
from agent.alerts.mqtt import Session
from agent.alerts.publisher import AlertPublisher
from agent.alerts.settings import BrokerSettings
from agent.alerts.topics import Topics
from agent.errors import ConfigError
from tests.conftest import wait_until
from tests.faults.broker import Broker

TOPICS = Topics("edgetrack", "porch")


class Desk:
    """A handler, what it carried out and what it answered."""

    def __init__(self, act: Callable[[Command], Mapping[str, Any] | None] | None = None) -> None:
        self.now_s = 1000.0
        self.done: list[Command] = []
        self.sent: list[Message] = []

        def carry_out(command: Command) -> Mapping[str, Any] | None:
            self.done.append(command)
            return act(command) if act else None

        self.handler = CommandHandler(TOPICS, carry_out, self.sent.append, monotonic=lambda: self.now_s)

    def ask(
        self, name: str, payload: bytes | dict[str, Any] = b"", *, retain: bool = False
    ) -> dict[str, Any]:
        if isinstance(payload, dict):
            payload = json.dumps(payload).encode()
        before = len(self.sent)
        self.handler.receive(Message(TOPICS.request(name), payload, retain=retain, correlation=b"c1"))
        wait_until(lambda: len(self.sent) > before, what="an answer")
        assert self.sent[-1].topic == TOPICS.response(name)
        assert self.sent[-1].correlation == b"c1"
        answer: dict[str, Any] = json.loads(self.sent[-1].payload)
        return answer


@pytest.fixture
def make_desk() -> Iterator[Callable[..., Desk]]:
    desks: list[Desk] = []

    def make(act: Callable[[Command], Mapping[str, Any] | None] | None = None) -> Desk:
        desks.append(Desk(act))
        return desks[-1]

    yield make
    for desk in desks:
        desk.handler.close()


def test_command_is_carried_out_and_answered_with_its_transaction(make_desk: Callable[..., Desk]) -> None:
    desk = make_desk(lambda command: {"rules": 3})
    answer = desk.ask("set_armed", {"transaction": "t1", "armed": False, "camera": "front", "rule": "gate"})
    assert answer == {"transaction": "t1", "status": "ok", "data": {"rules": 3}}
    assert desk.done == [SetArmed(transaction="t1", armed=False, camera="front", rule="gate")]


def test_whole_number_is_a_score(make_desk: Callable[..., Desk]) -> None:
    desk = make_desk()
    desk.ask("set_min_score", {"camera": "front", "min_score": 1})
    assert desk.done == [SetMinScore(camera="front", min_score=1.0)]


def test_empty_payload_is_a_command_without_parameters(make_desk: Callable[..., Desk]) -> None:
    desk = make_desk()
    assert desk.ask("reload") == {"status": "ok", "data": {}}
    assert desk.done == [Reload()]


@pytest.mark.parametrize(
    ("name", "payload", "line"),
    [
        ("set_armed", {"transaction": "t"}, "set_armed armed: expected a value, got nothing"),
        (
            "set_armed",
            {"transaction": "t", "armed": True, "color": 1},
            "set_armed color: expected one of transaction, armed, camera, rule, got an unknown field",
        ),
        (
            "set_armed",
            {"transaction": "t", "armed": True, "camera": "../../etc"},
            "camera: expected letters, digits, _ and - (64 at most, the first no - or _), got '../../etc'",
        ),
        ("set_armed", {"transaction": "t", "armed": "maybe"}, "armed: expected true or false, got 'maybe'"),
        ("set_armed", {"transaction": "t", "armed": "yes"}, "armed: expected true or false, got 'yes'"),
        ("set_armed", {"transaction": "t", "armed": 0}, "armed: expected true or false, got 0"),
        ("set_armed", {"transaction": "t", "armed": None}, "armed: expected true or false, got None"),
        ("snapshot", {"transaction": "t", "camera": 5}, "camera: expected a valid string, got 5"),
        (
            "set_min_score",
            {"transaction": "t", "camera": "front", "min_score": "0.4"},
            "min_score: expected a valid number, got '0.4'",
        ),
        (
            "set_min_score",
            {"transaction": "t", "camera": "front", "min_score": True},
            "min_score: expected a valid number, got True",
        ),
        (
            "set_min_score",
            {"transaction": "t", "camera": "front", "min_score": 2},
            "expected less than or equal to 1, got 2",
        ),
        ("self_destruct", {"transaction": "t"}, "expected one of set_armed, snapshot"),
    ],
)
def test_bad_request_is_refused_with_its_transaction_and_changes_nothing(
    make_desk: Callable[..., Desk], name: str, payload: dict[str, Any], line: str
) -> None:
    desk = make_desk()
    answer = desk.ask(name, payload)
    assert (answer["status"], answer["transaction"]) == ("error", "t")
    assert line in answer["error"]
    assert desk.done == []
    assert desk.handler.refused == 1


@pytest.mark.parametrize(
    "payload",
    [
        b'{"transaction": "\\ud800"}',
        b"[",
        b"\xff",
        b"[]",
        b"null",
        b"[" * 3000,
        b"x" * (MAX_REQUEST_BYTES + 1),
    ],
)
def test_payload_that_is_no_small_json_object_is_refused(
    make_desk: Callable[..., Desk], payload: bytes
) -> None:
    desk = make_desk()
    assert desk.ask("reload", payload)["status"] == "error"
    assert desk.done == []


def test_refusal_of_the_application_is_the_answer(make_desk: Callable[..., Desk]) -> None:
    def refuse(command: Command) -> None:
        raise ConfigError("edgetrack.yaml:3 cameras", "expected a mapping, got a list")

    answer = make_desk(refuse).ask("reload", {"transaction": "t"})
    assert answer == {
        "transaction": "t",
        "status": "error",
        "error": "edgetrack.yaml:3 cameras: expected a mapping, got a list",
        "data": {},
    }


def test_fault_in_the_application_is_answered_and_the_next_command_served(
    make_desk: Callable[..., Desk],
) -> None:
    faults = [ZeroDivisionError("secret detail")]

    def fail_once(command: Command) -> None:
        if faults:
            raise faults.pop()

    desk = make_desk(fail_once)
    answer = desk.ask("reload")
    assert answer["error"] == "reload: ZeroDivisionError"
    assert desk.ask("reload")["status"] == "ok"


def test_repeated_transaction_is_answered_again_and_not_carried_out_again(
    make_desk: Callable[..., Desk],
) -> None:
    desk = make_desk(lambda command: {"time": len(desk.done)})
    first = desk.ask("reload", {"transaction": "t"})
    desk.now_s += 50.0
    assert desk.ask("reload", {"transaction": "t"}) == first
    assert len(desk.done) == 1


def test_transaction_that_a_sender_uses_anew_is_carried_out(make_desk: Callable[..., Desk]) -> None:
    desk = make_desk()
    for armed in (False, True, False):
        answer = desk.ask("set_armed", {"transaction": "1", "armed": armed})
        assert answer == {"transaction": "1", "status": "ok", "data": {}}
    assert [getattr(command, "armed", None) for command in desk.done] == [False, True, False]


def test_repeat_after_more_than_a_minute_is_a_new_request(make_desk: Callable[..., Desk]) -> None:
    desk = make_desk()
    desk.ask("set_armed", {"transaction": "1", "armed": False})
    desk.now_s += 61.0
    desk.ask("set_armed", {"transaction": "1", "armed": False})
    assert len(desk.done) == 2


def test_names_that_a_sender_makes_up_write_no_lines_of_their_own(
    make_desk: Callable[..., Desk], caplog: pytest.LogCaptureFixture
) -> None:
    desk = make_desk()
    answer = desk.ask("set_armed", {"armed": True, "x\nERROR forged": 1, "transaction": "t"})
    assert answer["error"].startswith(r"set_armed 'x\nERROR forged': expected one of transaction, armed")
    assert len(desk.ask("set_armed", {"armed": True, "x" * 3000: 1})["error"]) < 200
    desk.handler.receive(Message(TOPICS.request("x\nERROR forged"), b"", retain=True))
    wait_until(lambda: desk.handler.refused == 3)
    desk.ask("reload")
    assert len(caplog.messages) == 3
    assert not [line for line in caplog.messages if "\n" in line]


def test_handler_is_closed_while_its_thread_takes_the_last_request(
    make_desk: Callable[..., Desk], monkeypatch: pytest.MonkeyPatch
) -> None:
    desk = make_desk()
    monkeypatch.setattr(desk.handler._waiting, "empty", lambda: False)  # as it was a moment ago
    desk.handler.close()
    wait_until(lambda: not desk.handler._thread.is_alive())


def test_retained_command_is_refused(make_desk: Callable[..., Desk]) -> None:
    desk = make_desk()
    assert "retained" in desk.ask("reload", retain=True)["error"]
    assert desk.done == []


def test_flood_is_cut_off(make_desk: Callable[..., Desk]) -> None:
    desk = make_desk()
    for _ in range(500):
        desk.handler.receive(Message(TOPICS.request("reload"), b""))
    wait_until(lambda: len(desk.done) + desk.handler.refused == 500)
    assert len(desk.done) <= 22


def test_answer_goes_to_no_topic_that_a_message_chooses(make_desk: Callable[..., Desk]) -> None:
    desk = make_desk()
    desk.handler.receive(Message(TOPICS.request("Reload!"), b"", response_topic="homeassistant/x"))
    desk.ask("reload")
    assert [message.topic for message in desk.sent] == [TOPICS.response("reload")]


@settings(max_examples=300)
@given(st.sampled_from([*COMMANDS, "unknown"]), st.binary(max_size=200))
def test_any_bytes_give_a_command_or_one_line(name: str, payload: bytes) -> None:
    try:
        command = parse_request(name, payload)
    except CommandError as error:
        assert "\n" not in str(error)
    else:
        assert command.name == name


VALUES = st.one_of(
    st.none(), st.booleans(), st.integers(), st.floats(), st.text(), st.lists(st.text(), max_size=2)
)


@settings(max_examples=300)
@given(
    st.sampled_from([*COMMANDS]),
    st.dictionaries(
        st.sampled_from(["transaction", "camera", "rule", "armed", "min_score", "place", "x"]), VALUES
    ),
)
def test_any_json_object_gives_a_command_whose_names_are_names_or_one_line(
    name: str, content: dict[str, Any]
) -> None:
    try:
        command = parse_request(name, json.dumps(content).encode())
    except CommandError as error:
        assert "\n" not in str(error)
        return
    for field in ("camera", "rule", "place"):
        value = getattr(command, field, None)
        assert value is None or all(
            letter.isascii() and (letter.isalnum() or letter in "_-") for letter in value
        )
    if isinstance(command, SetMinScore):
        assert 0 <= command.min_score <= 1


def test_commands_travel_over_a_real_broker(
    broker: Broker, make_publisher: Callable[..., AlertPublisher], tmp_path: Any
) -> None:
    from agent.alerts.settings import OutboxSettings

    done: list[Command] = []
    publisher = AlertPublisher(
        BrokerSettings(url=broker.url, commands=True), OutboxSettings(path=tmp_path / "o.sqlite"), "porch"
    )
    publisher.on_command(done.append)
    with publisher:
        session = Session(BrokerSettings(url=broker.url), "remote").open()
        session.subscribe("edgetrack/porch/response/+")
        wait_until(lambda: "edgetrack/porch/request/+" in broker.log)
        session.publish(Message("edgetrack/porch/request/reload", b'{"transaction":"t9"}', correlation=b"x"))
        answers: list[Message] = []

        def answered() -> bool:
            answers.extend(session.step(0.05).messages)
            return bool(answers)

        wait_until(answered)
        assert json.loads(answers[0].payload) == {"transaction": "t9", "status": "ok", "data": {}}
        assert answers[0].correlation == b"x"
        assert done == [Reload(transaction="t9")]
        session.close()


def test_commands_are_not_subscribed_to_unless_allowed(
    broker: Broker, make_publisher: Callable[..., AlertPublisher]
) -> None:
    publisher = make_publisher(broker.url)
    publisher.on_command(lambda command: None)
    wait_until(
        lambda: "'edgetrack/porch/status'" in broker.log, what="the device online, behind its subscriptions"
    )
    assert "request" not in broker.log
