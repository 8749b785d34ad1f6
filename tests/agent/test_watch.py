"""`edgetrack-agent watch` as a user runs it, at a real broker, and the files that it keeps."""

from __future__ import annotations

import hashlib
import json
import os
import pty
import re
import select
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent.alerts.messages import Message
from agent.alerts.mqtt import Session
from agent.alerts.schema import AlertPayload, SnapshotPart, build_payload, new_id
from agent.alerts.settings import BrokerSettings
from agent.alerts.topics import Topics
from agent.client_events import AlertFilter, SnapshotPicture
from agent.errors import ConfigError, StorageError
from agent.records import Alert, Phase
from agent.snapshot_folder import SnapshotFolder, picture_name
from agent.watch import alert_kinds
from tests.agent.alerts.conftest import make_alert
from tests.conftest import Mosquitto

JPEG = b"\xff\xd8\xff\xe0" + bytes(range(200))
TOPICS = Topics("edgetrack", "porch")


def payload(
    alert: Alert | None = None, *, sequence: int = 1, jpeg: bytes | None = None, **fields: str
) -> AlertPayload:
    alert = alert or make_alert()
    names = {"device": "porch", "camera": "front", **fields}
    picture = None
    if jpeg is not None:
        digest = hashlib.sha256(jpeg).hexdigest()
        picture = SnapshotPart(topic=TOPICS.snapshot("front", alert.rule), sha256=digest, width=64, height=48)
    return build_payload(
        alert, id=new_id(), sequence=sequence, clock_synchronised=True, snapshot=picture, **names
    )


@pytest.fixture
def publish(mosquitto: Mosquitto) -> Iterator[Callable[..., None]]:
    """Publishes a message as a device would."""
    session = Session(BrokerSettings(url=mosquitto.url), "device").open()

    def publish_(topic: str, content: bytes, *, retain: bool = False) -> None:
        mid = session.publish(Message(topic, content, retain=retain))
        while (mid, None) not in session.step(1.0).published:
            pass

    yield publish_
    session.close()


@pytest.fixture
def watch(mosquitto: Mosquitto) -> Iterator[Callable[..., subprocess.Popen[str]]]:
    """Starts `watch`; returns once it has subscribed."""
    running: list[subprocess.Popen[str]] = []

    def start(*arguments: str | Path) -> subprocess.Popen[str]:
        process = subprocess.Popen(
            [sys.executable, "-m", "agent.cli", "watch", "--broker", mosquitto.url, *map(str, arguments)],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        running.append(process)
        assert process.stderr is not None
        assert process.stderr.readline().startswith(f"watching {mosquitto.url}")
        return process

    yield start
    for process in running:
        process.kill()
        process.communicate()


def send(publish: Callable[..., None], *alerts: AlertPayload) -> None:
    for alert in alerts:
        publish(Topics("edgetrack", alert.device).alerts(alert.camera), alert.to_json())


def test_only_what_fits_is_shown_and_gaps_are_seen_all_the_same(
    publish: Callable[..., None], watch: Callable[..., subprocess.Popen[str]]
) -> None:
    process = watch("--json", "--rule", "gate*", "--camera", "front", "--min-score", "0.5", "--count", "2")
    first, last = payload(sequence=1), payload(make_alert("gate-2"), sequence=6)
    send(
        publish,
        first,
        payload(make_alert("yard"), sequence=2),
        payload(sequence=3, camera="back"),
        last,
    )
    out, err = process.communicate(timeout=120)
    assert [json.loads(line)["id"] for line in out.splitlines()] == [first.id, last.id]
    assert err.splitlines() == ["porch: 2 alerts missing, numbers 4 to 5", "2 alerts, 2 missing, 0 repeats"]


def test_two_that_share_split_the_alerts(
    publish: Callable[..., None], watch: Callable[..., subprocess.Popen[str]]
) -> None:
    processes = [watch("--json", "--share", "night", "--count", "5") for _ in range(2)]
    sent = [payload(sequence=number) for number in range(1, 11)]
    send(publish, *sent)
    outputs = [process.communicate(timeout=120) for process in processes]
    received = [{json.loads(line)["id"] for line in out.splitlines()} for out, _ in outputs]
    assert [len(ids) for ids in received] == [5, 5]
    assert received[0] | received[1] == {alert.id for alert in sent}
    assert all("gaps are not seen with --share" in err for _, err in outputs)


def test_pictures_of_the_shown_alerts_are_kept(
    publish: Callable[..., None], watch: Callable[..., subprocess.Popen[str]], tmp_path: Path
) -> None:
    folder = tmp_path / "new" / "pictures"
    process = watch("--follow-snapshots", folder, "--rule", "gate", "--count", "2")
    publish(TOPICS.snapshot("front", "gate"), JPEG, retain=True)
    publish(TOPICS.snapshot("front", "yard"), JPEG + b"other", retain=True)
    pictured = payload(jpeg=JPEG)
    send(publish, pictured, payload(make_alert("yard"), sequence=2, jpeg=JPEG + b"other"))
    send(publish, payload(sequence=3))
    _, err = process.communicate(timeout=120)
    assert {path.name: path.read_bytes() for path in folder.iterdir()} == {picture_name(pictured): JPEG}
    assert err.splitlines()[-1] == f"2 alerts, 0 missing, 0 repeats, 1 pictures in {folder}"


def test_table_shows_alerts_gaps_and_devices_and_no_markup_or_control_codes(
    mosquitto: Mosquitto, publish: Callable[..., None]
) -> None:
    leader, follower = pty.openpty()
    process = subprocess.Popen(
        [sys.executable, "-m", "agent.cli", "watch", "--broker", mosquitto.url, "--count", "2"],
        stdout=follower,
        stderr=subprocess.PIPE,
        text=True,
        env={**os.environ, "TERM": "xterm", "COLUMNS": "120", "LINES": "40"},
    )
    try:
        assert process.stderr is not None
        assert process.stderr.readline().startswith("watching")
        publish(TOPICS.status, b"online", retain=True)
        send(publish, payload(sequence=1), payload(make_alert("a[red]b\x1b]0;evil\x07"), sequence=4))
        shown = b""
        deadline = time.monotonic() + 120
        while time.monotonic() < deadline and not (process.poll() is not None and not ready(leader)):
            if ready(leader, 0.1):
                shown += os.read(leader, 65536)
    finally:
        process.kill()
        _, err = process.communicate()
        os.close(follower)
        os.close(leader)
    screen = shown.decode(errors="replace")
    assert "2 alerts missing" in " ".join(screen.split("│"))
    assert "2 alerts, 2 missing" in screen
    assert "porch: online" in screen
    assert "a[red]b" in screen
    assert "\x1b]0;" not in screen
    assert err.splitlines()[-1] == "2 alerts, 2 missing, 0 repeats"


def ready(descriptor: int, timeout_s: float = 0.0) -> bool:
    return bool(select.select([descriptor], [], [], timeout_s)[0])


@pytest.mark.parametrize(
    ("arguments", "code", "expected"),
    [
        (("--phase", "begin"), 78, "phase: expected one of start, update, end, instant, got begin"),
        (("--kind", "entr"), 78, "--kind: expected one of enter, leave, inside, cross, dwell, "),
        (
            ("--broker", "localhost"),
            78,
            "--broker: expected mqtt://host[:port] or mqtts://host[:port], got one",
        ),
        (("--share", "a/b"), 78, "share group: expected one topic level without / + and #, got 'a/b'"),
        (("--device", "#"), 78, "device: expected one topic level"),
        (("--follow-snapshots", "/dev/null/x"), 74, "/dev/null/x: expected a folder that can be written"),
    ],
)
def test_bad_option_is_one_line(arguments: tuple[str, ...], code: int, expected: str) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "agent.cli", "watch", *arguments],
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert (done.returncode, len(done.stderr.splitlines())) == (code, 1), done.stderr
    assert done.stderr.startswith(expected)


def test_kinds_are_those_that_the_agent_sends() -> None:
    agent = Path(__file__).resolve().parents[2] / "agent"
    rules = "".join(path.read_text() for path in (agent / "rules").glob("*.py"))
    made = set(re.findall(r'(?:subject\(|Incidents?\(self, )"([a-z-]+)"', rules))
    notices = "".join(path.read_text() for path in agent.rglob("*.py"))
    made |= set(re.findall(r'publish_notice\("([a-z-]+)"', notices))
    assert len(made) >= 13
    assert set(alert_kinds()) == made | {"enter", "leave", "test"}


NAMES = st.sampled_from(["gate", "yard", "gate-2"])


@given(rules=st.lists(NAMES, max_size=2), rule=NAMES, min_score=st.floats(0, 1), tracked=st.booleans())
def test_filter_takes_what_its_parts_take(
    rules: list[str], rule: str, min_score: float, tracked: bool
) -> None:
    changes: dict[str, Any] = {} if tracked else {"track": None}
    alert = payload(make_alert(rule, **changes))
    taken = AlertFilter(rules=tuple(rules), min_score=min_score).takes(alert)
    assert taken == ((not rules or rule in rules) and (not tracked or min_score <= 0.83))


def test_filter_by_class_leaves_out_what_is_about_no_object() -> None:
    only = AlertFilter(labels=("pers*",), phases=("instant", "start"))
    assert only.takes(payload())
    assert not only.takes(payload(make_alert(track=None)))
    assert not only.takes(payload(make_alert(phase=Phase.END)))
    with pytest.raises(ConfigError, match="phase"):
        AlertFilter(phases=("never",))


def picture(jpeg: bytes) -> SnapshotPicture:
    return SnapshotPicture("porch", "front", "gate", jpeg)


@pytest.mark.parametrize("picture_first", [True, False])
def test_picture_and_alert_come_in_any_order(tmp_path: Path, picture_first: bool) -> None:
    folder, alert, again = SnapshotFolder(tmp_path), payload(jpeg=JPEG), payload(jpeg=JPEG, sequence=2)
    if picture_first:
        folder.take_picture(picture(JPEG))
    folder.take_alert(alert)
    folder.take_picture(picture(JPEG))
    folder.take_alert(again)  # a second alert with the same picture
    assert sorted(path.name for path in tmp_path.iterdir()) == sorted(map(picture_name, (alert, again)))
    assert (folder.saved, folder.waiting) == (2, 0)


def test_picture_of_no_alert_or_that_is_no_jpeg_is_not_kept(tmp_path: Path) -> None:
    folder = SnapshotFolder(tmp_path)
    folder.take_alert(payload(jpeg=JPEG))
    folder.take_alert(payload(jpeg=b"<script>"))
    folder.take_picture(picture(JPEG + b"another"))
    folder.take_picture(picture(b"<script>"))
    assert list(tmp_path.iterdir()) == []
    assert folder.waiting == 2


@given(st.text(max_size=80), st.text(max_size=80))
def test_no_name_leads_out_of_the_folder(device: str, rule: str) -> None:
    name = picture_name(payload(make_alert(rule), device=device, camera="../../etc"))
    assert "/" not in name
    assert "\\" not in name
    assert not name.startswith(".")
    assert len(name) < 200
    assert name.isascii()
    assert name.isprintable()


def test_folder_that_cannot_be_made_is_one_line(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"")
    with pytest.raises(StorageError, match="expected a folder that can be written"):
        SnapshotFolder(tmp_path / "file")


def test_pictures_in_memory_are_bounded(tmp_path: Path) -> None:
    folder = SnapshotFolder(tmp_path)
    for number in range(40):
        folder.take_picture(picture(JPEG + number.to_bytes(2, "big") * 500_000))
    assert sum(map(len, folder._pictures.values())) <= 32_000_000
