"""`edgetrack-agent replay --explain-rule`: a rule that decided nothing is no unknown rule."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from agent.recording import RecordedFrame, RecordingHeader, RecordingWriter
from agent.records import Tracks, TrackState

CONFIG = """
device: porch
broker: {url: "mqtt://localhost"}
cameras:
  front:
    source: /dev/video0
    detector: {kind: motion}
    zones:
      door: {points: [[0.0, 0.0], [0.2, 0.0], [0.2, 0.3]]}
      yard: {points: [[0.3, 0.3], [0.8, 0.3], [0.8, 1.0], [0.3, 1.0]]}
    rules:
      - {kind: zone, zone: yard, name: in-yard, when: [enter, leave]}
      - {kind: zone, zone: door, name: at-door}
      - {kind: zone, zone: door, name: asleep, armed: false}
"""


@pytest.fixture
def recorded(tmp_path: Path) -> Path:
    """The folder of a recording and its configuration: someone walks into the yard and stays."""
    (tmp_path / "edgetrack.yaml").write_text(CONFIG)
    with RecordingWriter(tmp_path / "front.ndjson", RecordingHeader("front", ("person",))) as writer:
        for number in range(50):
            time_s = number / 10
            x = 200 + 60 * time_s
            tracks = Tracks(
                ids=np.array([1]),
                boxes=np.array([[x - 20, 300, x + 20, 400]], np.float32),
                velocities=np.array([[60, 0]], np.float32),
                scores=np.array([0.9], np.float32),
                labels=np.array([0]),
                states=np.array([int(TrackState.CONFIRMED)]),
                age_s=np.array([time_s], np.float32),
                since_seen_s=np.array([0], np.float32),
            )
            writer.write(RecordedFrame(time_s, 1.7e9 + time_s, number, (1000, 500), None, tracks))
    return tmp_path


def explain(folder: Path, rule: str) -> subprocess.CompletedProcess[str]:
    """Ask the program for all that a rule decided."""
    command = (sys.executable, "-m", "agent.cli", "replay", "front.ndjson", "--config", "edgetrack.yaml")
    return subprocess.run(
        [*command, "--explain-rule", rule],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
        cwd=folder,
    )


@pytest.mark.parametrize(
    ("rule", "why"),
    [
        ("at-door", "at-door: no decisions; no object did what it looks for"),
        ("asleep", "asleep: no decisions; it is not armed in the configuration"),
    ],
)
def test_a_rule_that_decided_nothing_says_so(recorded: Path, rule: str, why: str) -> None:
    done = explain(recorded, rule)
    assert (done.returncode, done.stdout.splitlines(), done.stderr) == (0, [why], "")


def test_the_end_of_the_recording_is_no_cooldown(recorded: Path) -> None:
    enter, leave = explain(recorded, "in-yard").stdout.splitlines()
    assert ": told enter (at_s 1.667" in enter
    assert ": silent leave (camera stops) (at_s 4.9" in leave


def test_an_unknown_rule_is_refused_with_the_names_of_all(recorded: Path) -> None:
    done = explain(recorded, "nobody")
    assert done.returncode == 78
    assert done.stderr.strip().endswith(
        "--explain-rule: expected one of in-yard, at-door, asleep, got nobody"
    )
