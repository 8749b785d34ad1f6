"""The configuration file: what is refused, and where the fault is said to be."""

from __future__ import annotations

import textwrap
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent.config import load_config, load_section, make_section
from agent.detect.settings import DetectorSettings
from agent.errors import ConfigError
from agent.track.settings import TrackerSettings

GOOD = """\
device: porch
broker:
  url: mqtt://localhost
cameras:
  front:
    source: clip.mp4
    detector: {kind: motion}
    zones:
      drive:
        points: [[0.1, 0.5], [0.6, 0.5], [0.6, 1.0]]
    tripwires:
      gate: {points: [[0.2, 0.4], [0.8, 0.4]]}
    rules:
      - {kind: zone, zone: drive, when: [enter, leave]}
      - {kind: tripwire, tripwire: gate}
"""


def write(folder: Path, text: str) -> Path:
    path = folder / "edgetrack.yaml"
    path.write_text(textwrap.dedent(text))
    return path


def faults_of(path: Path) -> list[str]:
    """The faults without the folder in front."""
    with pytest.raises(ConfigError) as caught:
        load_config(path)
    assert caught.value.exit_code == 78
    return [fault.removeprefix(f"{path.parent}/") for fault in caught.value.faults]


def test_good_file_loads_and_paths_start_at_its_folder(tmp_path: Path) -> None:
    (tmp_path / "clip.mp4").touch()
    config = load_config(write(tmp_path, GOOD))
    assert config.device == "porch"
    assert config.cameras["front"].source == str(tmp_path / "clip.mp4")
    assert [rule.kind for rule in config.cameras["front"].rules] == ["zone", "tripwire"]


@pytest.mark.parametrize(
    ("old", "new", "expected"),
    [
        (
            "points: [[0.1, 0.5], [0.6, 0.5], [0.6, 1.0]]",
            "points: [[0.1, 0.5], [0.6, 0.5]]",
            "edgetrack.yaml:10 cameras.front.zones.drive.points: expected 3 or more [x, y] pairs",
        ),
        (
            "points: [[0.1, 0.5], [0.6, 0.5], [0.6, 1.0]]",
            "points: [[0.1, 0.5], [0.6, 1.5], [0.6, 1.0]]",
            "edgetrack.yaml:10 cameras.front.zones.drive.points.1.1: expected at most 1, got 1.5",
        ),
        (
            "  front:",
            "  status:",
            "edgetrack.yaml:5 cameras.status: expected a name that is no topic of the device itself",
        ),
        ("device: porch", "device: [a]", "edgetrack.yaml:1 device: expected text, got ['a']"),
        ("device: porch", "device: a/b", "edgetrack.yaml:1 device: expected letters, digits, _ and -"),
        ("device: porch\n", "", "edgetrack.yaml:1 device: expected a value, got nothing; add the key"),
        (
            "    source: clip.mp4",
            "    sourse: clip.mp4",
            "edgetrack.yaml:6 cameras.front.sourse: expected one of",
        ),
        (
            "kind: zone, zone: drive,",
            "kind: zone, zone: drive, min_age_s: soon,",
            "edgetrack.yaml:14 cameras.front.rules.0.min_age_s: expected a number, got 'soon'",
        ),
        (
            "kind: zone, zone: drive,",
            "kind: zoo, zone: drive,",
            "edgetrack.yaml:14 cameras.front.rules.0: expected kind: one of zone, tripwire, ",
        ),
        (
            "zone: drive, when",
            "when",
            "edgetrack.yaml:14 cameras.front.rules.0.zone: expected a value, got nothing; add the key",
        ),
        (
            "detector: {kind: motion}",
            "detector: {kind: tflite}",
            "edgetrack.yaml:7 cameras.front.detector: model:",
        ),
        (
            "url: mqtt://localhost",
            "url: http://localhost",
            "edgetrack.yaml:3 broker.url: expected mqtt://host[:port]",
        ),
    ],
)
def test_fault_is_named_by_line_and_path(tmp_path: Path, old: str, new: str, expected: str) -> None:
    assert old in GOOD
    faults = faults_of(write(tmp_path, GOOD.replace(old, new)))
    assert any(fault.startswith(expected) for fault in faults), faults


def test_unknown_key_suggests_the_nearest_known_one(tmp_path: Path) -> None:
    (fault,) = [f for f in faults_of(write(tmp_path, GOOD.replace("source:", "sourse:"))) if "sourse" in f]
    assert fault.endswith("got an unknown key; did you mean source?")


@pytest.mark.parametrize(
    ("kind", "end"),
    [
        ("", "got none; add kind: zone, or another of them"),
        ("kind: tripwir, ", "got tripwir; did you mean tripwire?"),
    ],
)
def test_rule_without_a_known_kind_is_told_all_of_them(tmp_path: Path, kind: str, end: str) -> None:
    (fault,) = faults_of(write(tmp_path, GOOD.replace("kind: tripwire, ", kind)))
    assert fault.startswith("edgetrack.yaml:15 cameras.front.rules.1: expected kind: one of zone, tripwire, ")
    assert "dwell" in fault
    assert fault.endswith(end)


@pytest.mark.parametrize(
    ("window", "fault"),
    [
        ("days: [Mon]", ".days.0: expected 'mon', 'tue', 'wed', 'thu', 'fri', 'sat' or 'sun', got 'Mon'"),
        ("end: '25:00'", ".end: expected a time of day from 00:00 to 24:00, got '25:00'"),
        (
            "start: '10:00', end: '10:00'",
            ": expected an end other than the start 10:00; leave both out for a whole day",
        ),
    ],
)
def test_wrong_window_is_one_fault(tmp_path: Path, window: str, fault: str) -> None:
    schedule = f"kind: tripwire, schedule: {{windows: [{{{window}}}]}}"
    place = "edgetrack.yaml:15 cameras.front.rules.1.schedule.windows"
    assert faults_of(write(tmp_path, GOOD.replace("kind: tripwire", schedule))) == [f"{place}.0{fault}"]
    empty = GOOD.replace("kind: tripwire", "kind: tripwire, schedule: {windows: []}")
    assert faults_of(write(tmp_path, empty)) == [f"{place}: expected at least 1, got 0"]


@pytest.mark.parametrize(
    ("old", "new", "fault"),
    [
        ("front:", "no:", "edgetrack.yaml:5 cameras.no: expected text, got False; put it in quotes"),
        ("front:", "1:", "edgetrack.yaml:5 cameras.1: expected text, got 1; put it in quotes"),
        (
            "device: porch",
            "device: 1234",
            "edgetrack.yaml:1 device: expected text, got 1234; put it in quotes",
        ),
    ],
)
def test_text_that_yaml_takes_for_something_else_wants_quotes(
    tmp_path: Path, old: str, new: str, fault: str
) -> None:
    assert faults_of(write(tmp_path, GOOD.replace(old, new))) == [fault]
    quoted = new.replace("no:", "'no':").replace("1:", "'1':").replace("1234", "'1234'")
    load_config(write(tmp_path, GOOD.replace(old, quoted)))


def test_place_in_pixels_is_told_what_places_are(tmp_path: Path) -> None:
    (fault,) = faults_of(write(tmp_path, GOOD.replace("[0.8, 0.4]", "[60, 0.4]")))
    where, _, problem = fault.partition(": ")
    assert where == "edgetrack.yaml:12 cameras.front.tripwires.gate.points.1.0"
    hint = "a place is a part of the picture, 0 to 1, neither px nor per cent"
    assert problem == f"expected at most 1, got 60; {hint}"


def test_host_of_the_broker_is_told_where_it_goes(tmp_path: Path) -> None:
    (fault,) = faults_of(write(tmp_path, GOOD.replace("url: mqtt://localhost", "host: localhost")))
    assert fault.startswith("edgetrack.yaml:3 broker.host: expected one of ")
    assert fault.endswith("got an unknown key; use url: mqtt://HOST:PORT")


def test_every_fault_is_reported_at_once(tmp_path: Path) -> None:
    text = GOOD.replace("device: porch", "device: 5").replace("when: [enter, leave]", "when: []")
    faults = faults_of(write(tmp_path, text))
    assert {fault.split(" ")[0] for fault in faults} == {"edgetrack.yaml:1", "edgetrack.yaml:14"}


def test_fault_in_defaults_is_named_there_and_once(tmp_path: Path) -> None:
    text = "defaults:\n  tracker: {lost_s: long}\n" + GOOD.replace(
        "cameras:\n", "cameras:\n  back: {source: x.mp4, detector: {kind: motion}}\n"
    )
    assert faults_of(write(tmp_path, text)) == [
        "edgetrack.yaml:2 defaults.tracker.lost_s: expected a number, got 'long'"
    ]


def test_camera_wins_over_defaults_key_by_key(tmp_path: Path) -> None:
    text = "defaults:\n  tracker: {lost_s: 3.0, confirm_hits: 4}\n" + GOOD.replace(
        "    source: clip.mp4\n", "    source: clip.mp4\n    tracker: {lost_s: 5.0}\n"
    )
    tracker = load_config(write(tmp_path, text)).cameras["front"].tracker
    assert (tracker.lost_s, tracker.confirm_hits) == (5.0, 4)


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        (b"", "expected a mapping of settings, got nothing"),
        (b"- a\n", "expected a mapping of settings, got list"),
        (b"a: [1\n", "expected YAML, got a fault"),
        (b"a: 1\na: 2\n", "expected the key once, got it twice"),
        (
            b"a: &x 1\n\nb: *x\n",
            "edgetrack.yaml:3: expected plain YAML, got an alias (*x); write it out; what cameras share",
        ),
        (b"? [a]\n: 1\n", "expected a plain key, got a collection"),
        (b"a: \xff\n", "expected UTF-8 text"),
        (b"a: !!python/object/apply:os.system [id]\n", "expected YAML, got a fault"),
        (b"a: 2020-13-45\n", "expected YAML, got a fault"),
    ],
)
def test_file_that_is_no_plain_yaml_mapping_is_refused(tmp_path: Path, content: bytes, expected: str) -> None:
    path = tmp_path / "edgetrack.yaml"
    path.write_bytes(content)
    with pytest.raises(ConfigError, match=r"edgetrack\.yaml") as caught:
        load_config(path)
    assert expected in str(caught.value)


def test_missing_file_is_one_line(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"none\.yaml: expected a readable file, got No such file"):
        load_config(tmp_path / "none.yaml")


@given(st.binary(max_size=200))
def test_arbitrary_bytes_raise_nothing_but_config_errors(
    tmp_path_factory: pytest.TempPathFactory, data: bytes
) -> None:
    path = tmp_path_factory.getbasetemp() / "fuzz.yaml"
    path.write_bytes(data)
    with pytest.raises(ConfigError):
        load_config(path)


def test_password_is_never_repeated_in_a_fault(tmp_path: Path) -> None:
    text = GOOD.replace("url: mqtt://localhost", "password: [hunter2]")
    assert all("hunter2" not in fault for fault in faults_of(write(tmp_path, text)))


def test_section_file_and_options_have_the_same_messages(tmp_path: Path) -> None:
    path = write(tmp_path, "lost_s: -1\n")
    with pytest.raises(ConfigError, match=r"edgetrack.yaml:1 lost_s: expected at least 0, got -1"):
        load_section(path, TrackerSettings)
    with pytest.raises(ConfigError, match=r"--min-score: expected at most 1, got 3.0"):
        make_section(DetectorSettings, {"model": Path("m.tflite"), "min_score": 3.0})
