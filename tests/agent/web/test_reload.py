"""SIGHUP and saving with a file that names what is not there."""

from __future__ import annotations

import json
import signal
from collections.abc import Callable

from tests.agent.web.conftest import LONG_S, RunningAgent
from tests.conftest import wait_until


def test_configuration_that_names_a_missing_model_is_refused_and_the_cameras_go_on(
    start_agent: Callable[..., RunningAgent],
) -> None:
    agent = start_agent()
    before = agent.config.read_text()
    agent.config.write_text(
        before.replace("kind: motion}\n", "kind: motion}\n    tracker: {motion_model: gone.tflite}\n")
    )
    agent.process.send_signal(signal.SIGHUP)
    wait_until(lambda: "the old one goes on" in agent.log.read_text(), LONG_S, "the refusal")
    told = agent.log.read_text()
    assert "cameras.front.tracker:" in told and "gone.tflite: expected" in told
    assert told.count("live page: http") == 1, "nothing was torn down"
    token = {"X_Edgetrack_Token": agent.state()["token"]}
    place = {"place": "tripwire", "name": "gate", "shape": {"points": [[0, 0], [1, 1]]}}
    file = agent.config.read_text()
    status, answer, _ = agent.send("POST", "/api/cameras/front/save", json.dumps(place).encode(), **token)
    assert (status, b"gone.tflite: expected" in answer) == (422, True)
    assert agent.config.read_text() == file
    assert agent.log.read_text().count("live page: http") == 1
