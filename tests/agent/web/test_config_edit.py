"""Changes to the text of a configuration: only what is meant changes, in whatever way it is written."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
import yaml

from agent.errors import ConfigError, EdgetrackError, StorageError
from agent.web.config_edit import snippet, with_change, without_place
from agent.web.config_file import ConfigFile
from agent.web.trial import draft_of, removal_of

SHAPE = {"points": [[0.1, 0.2], [0.8, 0.2], [0.5, 0.9]]}
RULE = {"kind": "zone", "zone": "yes", "when": ["enter"]}
HEAD = "device: porch\ncameras:\n"
LAYOUTS = {
    "nothing there": "  front:\n    source: 0  # usb\n    detector: {kind: motion}\n  back: {source: 1}\n",
    "block": """  front:
    zones:
      # mine
      a:
        points:
          - [0, 0]
          - [1, 0]
          - [1, 1]  # last
      # end
    rules:
    - kind: zone
      zone: a

    # tail
    source: 0
""",
    "flow": "  front: {source: 0, zones: {a: {points: [[0, 0], [1, 0], [1, 1]]}}, "
    "rules: [{kind: zone, zone: a}]}\n",
    "empty flow": "  front:\n    zones: {}\n    rules: []\n    source: 0\n",
    "flow over lines": """  front:
    zones: {
      a: {points: [[0, 0], [1, 0], [1, 1]]},  # comma
    }
    source: 0
""",
    "no newline at the end": "  front:\n    source: 0\n    rules:\n      - {kind: zone, zone: a}",
    "flow camera without zones": "  front: {source: 0}\n",
}


@pytest.mark.parametrize("ending", ["\n", "\r\n"])
@pytest.mark.parametrize("layout", LAYOUTS)
def test_new_zone_and_rule_are_added_and_every_line_stays(layout: str, ending: str) -> None:
    text = (HEAD + LAYOUTS[layout]).replace("\n", ending)
    changed = with_change(text, "front", "zones", "yes", SHAPE, RULE)
    old, new = yaml.safe_load(text)["cameras"]["front"], yaml.safe_load(changed)["cameras"]["front"]
    assert new["zones"] == {**old.get("zones", {}), "yes": SHAPE}
    assert new["rules"] == [*old.get("rules", []), RULE]
    assert {k: v for k, v in new.items() if k not in ("zones", "rules")} == {
        k: v for k, v in old.items() if k not in ("zones", "rules")
    }
    assert [part for part in text.split() if part.startswith("#")] == [
        part for part in changed.split() if part.startswith("#")
    ]
    if "flow" not in layout:
        kept = [line for line in text.splitlines() if line.strip()]
        assert [line for line in changed.splitlines() if line in kept] == kept
    assert ("\r\n" in changed) == (ending == "\r\n" and "\n" in changed)


@pytest.mark.parametrize("layout", ["block", "flow"])
def test_points_of_a_zone_that_is_there_are_replaced(layout: str) -> None:
    text = HEAD + LAYOUTS[layout]
    changed = with_change(text, "front", "zones", "a", SHAPE, None)
    expected = yaml.safe_load(text)
    expected["cameras"]["front"]["zones"]["a"] = SHAPE
    assert yaml.safe_load(changed) == expected


CORNERS = """device: porch
cameras:
  front:
    zones:
      a:
        points:
          - [0, 0]  # the gate
          # the hedge
          - [1, 0.50]
          - [1, 1]
          - [0, 1]  # last
    source: 0
"""


@pytest.mark.parametrize(
    ("points", "lost", "new"),
    [
        ([[0, 0], [0.9, 0.5], [1, 1], [0, 1]], {"          - [1, 0.50]"}, {"          - [0.9, 0.5]"}),
        ([[0, 0], [1, 0.5], [1, 1]], {"          - [0, 1]  # last"}, set()),
        ([[0, 0], [1, 0.5], [1, 1], [0, 1], [0, 0.5]], set(), {"          - [0, 0.5]"}),
    ],
)
def test_corner_that_moves_goes_or_comes_leaves_the_other_lines(
    points: list[list[float]], lost: set[str], new: set[str]
) -> None:
    changed = with_change(CORNERS, "front", "zones", "a", {"points": points}, None)
    assert set(CORNERS.splitlines()) - set(changed.splitlines()) == lost
    assert set(changed.splitlines()) - set(CORNERS.splitlines()) == new
    assert yaml.safe_load(changed)["cameras"]["front"]["zones"]["a"]["points"] == points


@pytest.mark.parametrize("ending", ["\n", "\r\n"])
@pytest.mark.parametrize("layout", LAYOUTS)
def test_place_that_was_added_is_taken_out_again_and_every_line_stays(layout: str, ending: str) -> None:
    text = (HEAD + LAYOUTS[layout]).replace("\n", ending)
    added = with_change(text, "front", "zones", "yes", SHAPE, RULE)
    again = without_place(added, "front", "zones", "yes")
    filled = {k: v for k, v in yaml.safe_load(text)["cameras"]["front"].items() if v not in ({}, [])}
    left = {k: v for k, v in yaml.safe_load(again)["cameras"]["front"].items() if v not in ({}, [])}
    assert left == filled
    if "flow" not in layout:
        assert again.rstrip() == text.rstrip()


GOING = """device: porch
cameras:
  front:
    source: 0  # usb
    zones:
      # where cars stand
      drive: {points: [[0, 0], [1, 0], [1, 1]]}  # mine
      yard:
        points:
          - [0, 0]
          - [1, 0]
          - [0, 1]
    tripwires:
      gate: {points: [[0, 0], [1, 1]]}
    rules:
      - {kind: zone, zone: yard}
      # both
      - kind: sequence
        zones: [yard, drive]
      - {kind: zone, zone: drive}  # also
      - kind: tripwire
        tripwire: gate
    labels: []
  back:
    zones:
      drive: {points: [[0, 0], [1, 0], [1, 1]]}
    rules: [{kind: zone, zone: drive}]
"""


def test_place_goes_with_the_rules_that_watch_it_and_with_no_other_line() -> None:
    left = without_place(GOING, "front", "zones", "drive")
    gone = set(GOING.splitlines()) - set(left.splitlines())
    assert gone == {
        "      drive: {points: [[0, 0], [1, 0], [1, 1]]}  # mine",
        "      - kind: sequence",
        "        zones: [yard, drive]",
        "      - {kind: zone, zone: drive}  # also",
    }
    assert without_place(left, "front", "tripwires", "gate").count("gate") == 0


def test_last_place_and_last_rule_take_their_sections_with_them() -> None:
    left = yaml.safe_load(without_place(GOING, "back", "zones", "drive"))["cameras"]["back"]
    assert not left or (not left.get("zones") and not left.get("rules"))


COMMENTED = """device: porch
cameras:
  front:
    source: 0
    # what is watched
    zones:  # in the yard
      # where cars stand
      drive: {points: [[0, 0], [1, 0], [1, 1]]}  # mine
    rules:
    - kind: zone
      zone: drive
    # - {kind: zone, zone: drive, when: [leave]}

      # end
    # of the detector
    detector: {kind: motion}
"""


@pytest.mark.parametrize("ending", ["\n", "\r\n"])
def test_sections_that_lose_their_last_entry_keep_their_comments(ending: str) -> None:
    text = COMMENTED.replace("\n", ending)
    left = without_place(text, "front", "zones", "drive")
    assert left == (
        COMMENTED.replace("zones:  # in", "zones: {}  # in")
        .replace("      drive: {points: [[0, 0], [1, 0], [1, 1]]}  # mine\n", "")
        .replace("rules:\n    - kind: zone\n      zone: drive\n", "rules: []\n")
        .replace("\n", ending)
    )
    again = yaml.safe_load(with_change(left, "front", "zones", "drive", SHAPE, RULE))["cameras"]["front"]
    assert (again["zones"], again["rules"]) == ({"drive": SHAPE}, [RULE])


def test_place_that_comes_from_elsewhere_is_named() -> None:
    with pytest.raises(ConfigError, match=r"cameras\.back\.tripwires\.gate: expected it in this camera's"):
        without_place(GOING, "back", "tripwires", "gate")


def test_snippet_is_the_yaml_of_the_change() -> None:
    assert yaml.safe_load(snippet("front", "zones", "yes", SHAPE, RULE)) == {
        "cameras": {"front": {"zones": {"yes": SHAPE}, "rules": [RULE]}}
    }


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "edgetrack.yaml"
    path.write_text("device: porch\ncameras:\n  front:\n    source: 0\n    detector: {kind: motion}\n")
    return path


def draft(name: str = "line", points: object = ((0, 0), (1, 1))) -> object:
    return {"place": "tripwire", "name": name, "shape": {"points": points}, "rule": {"kind": "tripwire"}}


def test_saving_keeps_the_five_versions_before(file: Path) -> None:
    taken: list[str] = []
    config = ConfigFile(file, lambda: taken.append(file.read_text()))
    os.chmod(file, 0o640)  # noqa: PTH101
    versions = [file.read_text()]
    for number in range(7):
        config.save("front", draft_of(draft(f"line-{number}")))
        versions.append(file.read_text())
    assert taken == versions[1:]
    assert file.stat().st_mode & 0o777 == 0o640
    kept = [file.with_name(f"edgetrack.yaml.bak{number}") for number in ("", 2, 3, 4, 5)]
    assert [path.read_text() for path in kept] == versions[-2:-7:-1]
    assert sorted(file.parent.iterdir()) == sorted([file, *kept])


def test_faulty_version_changes_nothing_and_names_its_line(file: Path) -> None:
    before = file.read_text()
    with pytest.raises(
        ConfigError, match=r"^edgetrack\.yaml:\d+ cameras\.front\.tripwires\.line\.points: expected 2"
    ):
        ConfigFile(file, lambda: None).save("front", draft_of(draft(points=[[0, 0]])))
    assert file.read_text() == before
    assert list(file.parent.iterdir()) == [file]


def test_version_that_cannot_be_taken_is_put_back(file: Path) -> None:
    before = file.read_text()

    def refuse() -> None:
        raise EdgetrackError("cameras.front", "expected a model, got none")

    with pytest.raises(EdgetrackError, match="expected a model"):
        ConfigFile(file, refuse).save("front", draft_of(draft()))
    assert file.read_text() == before


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write everywhere")
def test_file_that_may_not_be_written_is_refused(file: Path) -> None:
    file.parent.chmod(0o555)
    try:
        with pytest.raises(StorageError, match="expected a folder that the agent may write"):
            ConfigFile(file, lambda: None).save("front", draft_of(draft()))
    finally:
        file.parent.chmod(0o755)


def test_undo_brings_back_what_was_deleted_until_the_file_changes(file: Path) -> None:
    config = ConfigFile(file, lambda: None)
    config.save("front", draft_of(draft()))
    before = file.read_text()
    deleted = config.remove("front", removal_of({"place": "tripwire", "name": "line"}))
    assert "line" not in file.read_text()
    undone = config.undo(deleted.version)
    assert file.read_text() == before
    file.write_text(before + "# by hand\n")
    with pytest.raises(ConfigError, match="expected the version saved here, got a newer one"):
        config.undo(undone.version)
    assert file.read_text() == before + "# by hand\n"


def test_undo_restores_the_version_before_its_change_whatever_was_saved_and_undone_since(file: Path) -> None:
    config = ConfigFile(file, lambda: None)
    first = file.read_text()
    a = config.save("front", draft_of(draft("a")))
    b = config.save("front", draft_of(draft("b")))
    undone = config.undo(b.version)
    config.undo(a.version)
    assert file.read_text() == first
    with pytest.raises(ConfigError, match="expected the version saved here, got a newer one"):
        config.undo(undone.version)
    assert file.read_text() == first


def test_undo_of_a_version_that_is_kept_no_more_is_refused(file: Path) -> None:
    config = ConfigFile(file, lambda: None)
    saved = config.save("front", draft_of(draft()))
    file.with_name("edgetrack.yaml.bak").unlink()
    after = file.read_text()
    with pytest.raises(ConfigError, match="expected the version before among those kept"):
        config.undo(saved.version)
    assert file.read_text() == after


def test_version_that_cannot_be_taken_leaves_the_kept_ones_as_they_were(file: Path) -> None:
    config = ConfigFile(file, lambda: None)
    for number in range(6):
        saved = config.save("front", draft_of(draft(f"line-{number}")))
    folder = {path.name: path.read_text() for path in file.parent.iterdir()}

    def refuse() -> None:
        raise EdgetrackError("cameras.front", "expected a model, got none")

    with pytest.raises(EdgetrackError, match="expected a model"):
        ConfigFile(file, refuse).save("front", draft_of(draft("line-7")))
    assert {path.name: path.read_text() for path in file.parent.iterdir()} == folder
    config.undo(saved.version)
    assert file.read_text() == folder["edgetrack.yaml.bak"]


def test_zone_that_another_one_excludes_is_not_deleted(file: Path) -> None:
    points = "{points: [[0, 0], [1, 0], [1, 1]]"
    file.write_text(
        file.read_text() + f"    zones:\n      a: {points}}}\n      b: {points}, exclude: [a]}}\n"
    )
    before = file.read_text()
    with pytest.raises(
        ConfigError, match=r"edgetrack\.yaml:6 cameras\.front\.zones: b\.exclude: expected .* got 'a'"
    ):
        ConfigFile(file, lambda: None).remove("front", removal_of({"place": "zone", "name": "a"}))
    assert file.read_text() == before
