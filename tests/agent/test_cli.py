"""`edgetrack-agent` as a user runs it: real processes, a real broker, real files."""

from __future__ import annotations

import hashlib
import json
import os
import re
import signal
import subprocess
import sys
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest

from tests.agent.capture.conftest import MjpegCamera
from tests.conftest import Mosquitto

DEMO = Path(__file__).resolve().parents[2] / "agent" / "demo"
TRUTH = json.loads((DEMO / "street.json").read_text())


def agent(*arguments: str | Path, timeout_s: float = 120) -> subprocess.CompletedProcess[str]:
    """Run the program and keep what it prints."""
    return subprocess.run(
        [sys.executable, "-m", "agent.cli", *map(str, arguments)],
        capture_output=True,
        text=True,
        timeout=timeout_s,
        check=False,
    )


def street(folder: Path, broker: str, *, source: str | None = None, extra: str = "") -> Path:
    """A configuration for the bundled clip."""
    demo = (DEMO / "demo.yaml").read_text().replace("street.mp4", source or str(DEMO / "street.mp4"))
    demo = demo.replace("../../models", str(DEMO.parents[1] / "models"))
    path = folder / "edgetrack.yaml"
    path.write_text(demo + f"broker: {{url: '{broker}'}}\noutbox: {{path: outbox.sqlite}}\n{extra}")
    return path


def one_line(done: subprocess.CompletedProcess[str]) -> str:
    """The only line on standard error that is no log line."""
    lines = [line for line in done.stderr.splitlines() if not re.match(r"\S+T\S+ (INFO|WARNING) ", line)]
    assert len(lines) == 1, done.stderr
    return lines[0]


def test_demo_prints_the_alerts_that_came_back_and_writes_pictures(tmp_path: Path) -> None:
    done = agent("demo", "--output", tmp_path)
    assert done.returncode == 0, done.stderr
    published = int(done.stdout.split(" alerts published")[0].split()[-1])
    came_back = int(done.stdout.split(" came back")[0].split()[-1])
    assert published == came_back == done.stdout.count("street: ")
    assert done.stdout.count("zone-drive  enter drive") == TRUTH["expected"]["entries"]
    assert done.stdout.count("tripwire-street  cross street  a-to-b") == TRUTH["expected"]["a_to_b"]
    assert done.stdout.count("tripwire-street  cross street  b-to-a") == TRUTH["expected"]["b_to_a"]
    assert (tmp_path / "street.mp4").stat().st_size > 100_000
    assert (tmp_path / "street.png").stat().st_size > 50_000
    assert "Traceback" not in done.stderr


def test_run_publishes_once_per_event_and_watch_receives_it(mosquitto: Mosquitto, tmp_path: Path) -> None:
    entries = TRUTH["expected"]["entries"]
    with subprocess.Popen(
        [sys.executable, "-m", "agent.cli", "watch", "--broker", mosquitto.url, "--json"],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    ) as watch:
        try:
            assert watch.stderr is not None
            assert watch.stderr.readline().startswith(f"watching {mosquitto.url}")
            done = agent("run", street(tmp_path, mosquitto.url))
            assert done.returncode == 0, done.stderr
            assert done.stdout.startswith("street: 219 frames")
            assert watch.stdout is not None
            alerts = []
            while sum(alert["kind"] == "enter" for alert in alerts) < entries:
                alerts.append(json.loads(watch.stdout.readline()))
        finally:
            watch.terminate()
    entered = [alert for alert in alerts if alert["kind"] == "enter"]
    assert len({alert["track"]["id"] for alert in entered}) == entries
    assert [alert["sequence"] for alert in alerts] == list(range(1, len(alerts) + 1))


def listen(broker: Mosquitto) -> Callable[[int], list[dict[str, Any]]]:
    """Subscribe to the alerts with a session that the broker keeps; what comes is read by the returned."""
    words = ["mosquitto_sub", "-p", str(broker.port), "-t", "edgetrack/demo/street/alerts"]
    words += ["-q", "1", "-i", "listener", "-c", "-W", "120"]
    subprocess.run([*words, "-E"], check=True)

    def read(number: int) -> list[dict[str, Any]]:
        done = subprocess.run([*words, "-C", str(number)], capture_output=True, text=True, check=True)
        return [json.loads(line) for line in done.stdout.splitlines()]

    return read


def test_alerts_wait_on_the_disk_while_the_broker_is_away_and_come_at_the_next_run(
    mosquitto: Mosquitto, tmp_path: Path, closed_port: int
) -> None:
    away = agent("run", street(tmp_path, f"mqtt://127.0.0.1:{closed_port}"))
    assert away.returncode == 69
    assert "connection refused" in one_line(away)
    waiting = int(one_line(away).split(" that still wait")[0].split()[-1])
    assert waiting >= TRUTH["expected"]["entries"]
    config = street(tmp_path, mosquitto.url)
    read = listen(mosquitto)
    assert agent("run", config).returncode == 0
    received = [alert["sequence"] for alert in read(2 * waiting)]
    assert received == list(range(1, 2 * waiting + 1))


def test_stop_signal_ends_a_run_cleanly(mosquitto: Mosquitto, tmp_path: Path) -> None:
    camera = MjpegCamera()
    config = street(tmp_path, mosquitto.url, source=camera.url)
    with (
        closing(camera),
        subprocess.Popen(
            [sys.executable, "-m", "agent.cli", "run", config],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        ) as run,
    ):
        assert run.stderr is not None
        for line in run.stderr:
            if "connected" in line:
                break
        run.send_signal(signal.SIGTERM)
        run.send_signal(signal.SIGTERM)  # as `timeout` does: the process, then its group
        out, err = run.communicate(timeout=60)
    assert run.returncode == 0, err
    assert out.startswith("street: ")


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("none.mp4", None),
        ("text.mp4", b"this is no video\n" * 50),
        ("picture.mp4", b"PNG"),
        ("cut.mp4", b"CUT"),
        ("empty.mp4", b""),
    ],
)
def test_source_that_is_no_video_is_one_line(
    tmp_path: Path, closed_port: int, name: str, content: bytes | None
) -> None:
    path = tmp_path / name
    if content == b"PNG":
        encoded = cv2.imencode(".png", np.zeros((40, 60, 3), np.uint8))[1]
        content = encoded.tobytes()
    if content == b"CUT":
        content = (DEMO / "street.mp4").read_bytes()[:200_000]
    if content is not None:
        path.write_bytes(content)
    config = street(tmp_path, f"mqtt://127.0.0.1:{closed_port}", source=str(path))
    run, check = agent("run", config), agent("check", config)
    assert run.returncode == 66
    assert name in one_line(run)
    if name == "cut.mp4":  # opens well; that its end is missing shows when it is reached
        assert check.returncode == 0
        assert "frames" in one_line(run)
    else:
        assert check.returncode == 78
        assert name in one_line(check)


def test_file_that_is_no_model_is_one_line(tmp_path: Path) -> None:
    model = tmp_path / "text.tflite"
    model.write_text("not a model")
    done = agent("detect", "-m", model, "-s", DEMO / "street.mp4", "-o", tmp_path / "dets.txt")
    assert done.returncode == 70
    assert one_line(done).startswith(f"{model}: expected")
    assert not (tmp_path / "dets.txt").exists()


@pytest.mark.parametrize(
    ("arguments", "code", "expected"),
    [
        (["watch", "--broker", "http://x"], 78, "--broker: expected mqtt://host[:port]"),
        (["track", "-d", "none.txt", "-o", "x.txt"], 66, "none.txt: expected"),
        (["schema", "all"], 78, "schema: expected one of config, alert, tracks, asyncapi, got all"),
        (["run", "none.yaml"], 78, "none.yaml: expected a readable file"),
        (["detect", "-m", "m.tflite", "-s", "rtsp://camera/1", "-o", "x"], 70, "m.tflite"),
    ],
)
def test_bad_option_is_one_line(arguments: list[str], code: int, expected: str) -> None:
    done = agent(*arguments)
    assert done.returncode == code
    assert expected in one_line(done)


def test_watch_without_a_broker_is_one_line(closed_port: int) -> None:
    done = agent("watch", "--broker", f"mqtt://127.0.0.1:{closed_port}")
    assert done.returncode == 69
    assert "connection refused" in one_line(done)


def test_wrong_password_is_one_line(tmp_path: Path, mosquitto_with_password: Mosquitto) -> None:
    config = street(tmp_path, mosquitto_with_password.url)
    text = config.read_text().replace("}\noutbox", ", username: agent, password: hunter2}\noutbox")
    config.write_text(text)
    run, watch = agent("run", config), agent("watch", "--config", config)
    assert (run.returncode, watch.returncode) == (69, 69)
    for done in (run, watch):
        assert "hunter2" not in done.stderr + done.stdout
        assert "uthori" in one_line(done)  # "Not authorized", in either spelling


def test_track_follows_detections_online(tmp_path: Path) -> None:
    lines = [f"{frame},-1,{10 + 3 * frame},50,20,40,0.97\n" for frame in range(1, 31)]
    (tmp_path / "det.txt").write_text("".join(lines))
    done = agent("track", "-d", tmp_path / "det.txt", "-o", tmp_path / "tracks.txt", "--fps", "10")
    assert done.returncode == 0, done.stderr
    rows = np.loadtxt(tmp_path / "tracks.txt", delimiter=",")
    assert set(rows[:, 1]) == {1.0}
    assert len(rows) >= 29


def test_json_schema_accepts_the_example_and_refuses_an_unknown_key(tmp_path: Path) -> None:
    import jsonschema
    import yaml

    schema = json.loads(agent("schema").stdout)
    example = yaml.safe_load(agent("example").stdout)
    jsonschema.Draft202012Validator.check_schema(schema)
    jsonschema.validate(example, schema)
    with pytest.raises(jsonschema.ValidationError, match="sourse"):
        jsonschema.validate({**example, "sourse": 1}, schema)


@pytest.mark.parametrize(
    ("what", "key"), [("config", "cameras"), ("alert", "incident"), ("asyncapi", "channels")]
)
def test_schema_writes_a_json_document(what: str, key: str) -> None:
    document = json.loads(agent("schema", what).stdout)
    assert key in document.get("properties", document)


def test_help_answers_without_heavy_imports_in_its_own_time() -> None:
    done = agent("--help")
    assert done.returncode == 0
    for command in ("run", "demo", "check", "watch", "detect", "track", "bench"):
        assert command in done.stdout


def test_version_is_that_of_the_distribution() -> None:
    from agent.version import __version__

    assert agent("--version").stdout.strip() == f"edgetrack-agent {__version__}"


# `edgetrack-agent` that gets Ctrl-C while it loads.
INTERRUPTED = """
import signal, sys

class Interrupting:
    def find_spec(self, name, path=None, target=None):
        if name == "typer":
            signal.raise_signal(signal.SIGINT)

signal.signal(signal.SIGINT, signal.default_int_handler)  # which whoever started the tests may ignore
sys.meta_path.insert(0, Interrupting())
from agent.cli import main
main()
"""


def test_interrupt_while_the_program_loads_is_quiet() -> None:
    done = subprocess.run([sys.executable, "-c", INTERRUPTED], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout, done.stderr) == (130, "", "")


def test_output_into_a_closed_pipe_is_quiet() -> None:
    done = subprocess.run(
        f"{sys.executable} -m agent.cli example | head -1",
        shell=True,
        capture_output=True,
        text=True,
        check=False,
        env=os.environ,
    )
    assert done.stderr == ""


def test_replay_gives_the_alerts_of_the_run_and_the_same_bytes_each_time(
    mosquitto: Mosquitto, tmp_path: Path
) -> None:
    config = street(tmp_path, mosquitto.url)
    run = agent("run", config, "--record", tmp_path)
    assert run.returncode == 0, run.stderr
    recording = tmp_path / "street.ndjson"
    first, second = (agent("replay", recording, "--config", config).stdout for _ in range(2))
    retracked = agent("replay", recording, "--config", config, "--retrack").stdout
    assert first == second == retracked
    assert len(first.splitlines()) == int(run.stdout.split(" alerts")[0].split()[-1])
    why = agent("replay", recording, "--config", config, "--explain", "1").stdout.splitlines()
    assert why[0] == first.splitlines()[0]
    assert any("told" in line for line in why[1:])
    unknown = agent("replay", recording, "--config", config, "--explain-rule", "none")
    assert (unknown.returncode, "zone-drive" in one_line(unknown)) == (78, True)


def test_rule_that_asks_for_a_picture_sends_it_anonymised_beside_its_alert(
    mosquitto: Mosquitto, tmp_path: Path
) -> None:
    config = street(tmp_path, mosquitto.url)
    config.write_text(config.read_text().replace("when: [enter]", "when: [enter], snapshot: true"))
    read = listen(mosquitto)
    done = agent("run", config)
    assert done.returncode == 0, done.stderr
    alerts = read(int(done.stdout.split(" alerts")[0].split()[-1]))
    pictured = [alert for alert in alerts if alert["kind"] == "enter"]
    assert len(pictured) == TRUTH["expected"]["entries"]
    assert all("snapshot" not in alert for alert in alerts if alert["kind"] == "cross")
    jpeg = subprocess.run(
        [
            "mosquitto_sub",
            "-p",
            str(mosquitto.port),
            "-t",
            pictured[-1]["snapshot"]["topic"],
            "-C",
            "1",
            "-N",
            "-W",
            "60",
        ],
        capture_output=True,
        check=True,
    ).stdout
    assert hashlib.sha256(jpeg).hexdigest() == pictured[-1]["snapshot"]["sha256"]
    assert cv2.imdecode(np.frombuffer(jpeg, np.uint8), cv2.IMREAD_COLOR).shape[:2] == (360, 640)
