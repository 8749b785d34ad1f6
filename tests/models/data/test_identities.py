"""Crops with identities: who is on them, and what is refused."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import cv2
import numpy as np
import pytest
from typer.testing import CliRunner

from agent.errors import DataError
from models.cli import app
from models.data.classification_set import load_classification_set
from models.data.identities import (
    CROP_SIZE,
    GeneratedSightings,
    Sighting,
    cut_identities,
    generated_sightings,
    groups_of,
)

RED, BLUE = (0, 0, 255), (255, 0, 0)


def _sightings(count: int = 3) -> Iterator[Sighting]:
    """A red object that walks, a blue one at the picture's edge, and one that is seen once."""
    for number in range(count):
        image = np.full((120, 160, 3), 128, np.uint8)
        image[40:80, 60 + number : 80 + number] = RED
        image[0:40, 0:20] = BLUE
        boxes = [[60 + number, 40, 80 + number, 80], [-5, -5, 20, 40]]
        names = ["yard-1", "yard-2"]
        if number == 0:
            boxes, names = [*boxes, [100, 60, 120, 100]], [*names, "yard-3"]
        yield Sighting(image, np.array(boxes, np.float32), tuple(names))


def test_every_identity_that_is_seen_again_becomes_a_class() -> None:
    found = cut_identities(_sightings(), jitter=0.02)
    assert found.labels == ("yard-1", "yard-2")
    assert found.classes.tolist() == [0, 1] * 3
    assert found.images.shape == (6, CROP_SIZE[1], CROP_SIZE[0], 3)
    middle = found.images[:, 24:40, 12:20].mean(axis=(1, 2))
    np.testing.assert_allclose(middle, [RED, BLUE] * 3, atol=12)
    assert groups_of(found.labels) == ("yard", "yard")


def test_boxes_err_differently_by_seed_and_equally_by_the_same() -> None:
    one, again, other = (cut_identities(_sightings(), seed=seed, jitter=0.1).images for seed in (1, 1, 2))
    np.testing.assert_array_equal(one, again)
    assert (one != other).any()


def test_nobody_who_is_seen_twice_is_refused() -> None:
    with pytest.raises(DataError, match="expected two or more that are seen twice, got 0"):
        cut_identities(_sightings(1))


def test_generated_objects_keep_their_identity() -> None:
    wanted = GeneratedSightings(1, 4, 77, ((320, 192),))
    sightings = list(generated_sightings(wanted))
    assert len(sightings) == 4
    names = [name for sighting in sightings for name in sighting.names]
    assert max(map(names.count, names)) > 1
    assert all(name.startswith(("00000077-person-", "00000077-car-")) for name in names)
    sides = np.concatenate([one.boxes[:, 2:] - one.boxes[:, :2] for one in sightings])
    assert (sides >= wanted.min_size_px).all()


def test_a_file_of_identities_is_read_back(tmp_path: Path) -> None:
    words = ["identities", "-o", str(tmp_path / "new" / "i.npz"), "--scenes", "1", "--frames", "4"]
    result = CliRunner().invoke(app, [*words, "--seed", "77"])
    assert result.exit_code == 0, result.output
    found = load_classification_set(tmp_path / "new" / "i.npz")
    assert f"{len(found)} crops of {len(found.labels)} identities" in result.stdout
    assert found.images.shape[1:] == (CROP_SIZE[1], CROP_SIZE[0], 3)
    direct = cut_identities(generated_sightings(GeneratedSightings(1, 4, 77)), seed=77)
    np.testing.assert_array_equal(found.images, direct.images)
    assert found.labels == direct.labels


def test_identities_of_a_video_come_from_its_truth(tmp_path: Path) -> None:
    video = tmp_path / "yard.avi"
    writer = cv2.VideoWriter(str(video), cv2.VideoWriter.fourcc(*"MJPG"), 10.0, (160, 120))
    for sighting in _sightings(6):
        writer.write(sighting.image)
    writer.release()
    lines = [
        f"{n},{who},{60 if who == 7 else 0},{40 if who == 7 else 0},20,40,1"
        for n in range(1, 7)
        for who in (7, 9)
    ]
    (tmp_path / "gt.txt").write_text("\n".join(lines) + "\n")
    words = ["identities", "-o", str(tmp_path / "i.npz"), "--video", str(video), "--every", "2"]
    result = CliRunner().invoke(app, [*words, "--gt", str(tmp_path / "gt.txt")])
    assert result.exit_code == 0, result.output
    found = load_classification_set(tmp_path / "i.npz")
    assert found.labels == ("yard-7", "yard-9")
    assert found.classes.tolist() == [0, 1] * 3
    red = found.images[found.classes == 0][:, 24:40, 12:20].mean(axis=(0, 1, 2))
    np.testing.assert_allclose(red, RED, atol=25)

    result = CliRunner().invoke(app, words)
    assert result.exit_code != 0
