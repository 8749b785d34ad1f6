"""A coloured rectangle is painted where the box is; after every step the box must still be round it."""

from __future__ import annotations

import numpy as np
import pytest

from models.data.augment import Blur, Colour, Example, Flip, Letterbox, Mosaic, Noise, RandomPlace, Step, run

SIZE = (160, 96)
RED = np.array([0, 0, 255])


def _example(left: int = 30, top: int = 20, right: int = 70, bottom: int = 60) -> Example:
    image = np.full((90, 120, 3), 60, np.uint8)
    image[top:bottom, left:right] = RED
    box = np.array([[left, top, right, bottom]], np.float32)
    return Example(image, box, np.zeros(1, np.int64), np.zeros(1, np.bool_))


def _painted(image: np.ndarray) -> np.ndarray:
    """Extent of what is red."""
    red = (image[..., 2].astype(int) - image[..., 1] > 100).astype(np.uint8)
    rows, columns = np.flatnonzero(red.any(axis=1)), np.flatnonzero(red.any(axis=0))
    return np.array([columns[0], rows[0], columns[-1] + 1, rows[-1] + 1])


@pytest.mark.parametrize(
    "step", [Letterbox(SIZE), RandomPlace(SIZE), Flip(1.0)], ids=["letterbox", "place", "flip"]
)
def test_box_follows_what_it_stands_round(step: Step) -> None:
    for seed in range(40):
        moved = step(_example(), np.random.default_rng(seed))
        if len(moved.boxes) and not moved.ignored[0]:
            np.testing.assert_allclose(moved.boxes[0], _painted(moved.image), atol=1.5)


def test_mosaic_moves_four_boxes() -> None:
    step = Mosaic(SIZE, lambda _: _example(), part=1.0, zoom=(0.9, 1.0))
    counts = []
    for seed in range(20):
        made = step(_example(), np.random.default_rng(seed))
        assert made.image.shape == (SIZE[1], SIZE[0], 3)
        counts.append(len(made.boxes))
        for box in made.boxes[~made.ignored]:
            left, top, right, bottom = np.round(box).astype(int)
            inside = made.image[top + 1 : bottom - 1, left + 1 : right - 1]
            assert (inside[..., 2].astype(int) - inside[..., 1] > 100).mean() > 0.9
    assert max(counts) == 4


@pytest.mark.parametrize("step", [Colour(grey=0.0), Blur(1.0), Noise(1.0)], ids=["colour", "blur", "noise"])
def test_steps_of_light_change_the_picture_and_no_box(step: Step) -> None:
    example = _example()
    changed = step(example, np.random.default_rng(0))
    assert not np.array_equal(changed.image, example.image)
    assert changed.image.dtype == np.uint8
    assert changed.boxes is example.boxes


def test_grey_takes_all_colour() -> None:
    grey = Colour(grey=1.0, balance=0.0)(_example(), np.random.default_rng(3)).image.astype(int)
    assert np.ptp(grey, axis=2).max() <= 1


def test_object_cut_by_the_edge_is_ignored_when_little_is_left() -> None:
    """Zoomed until the picture is far larger than the canvas; what is left of a box decides."""
    step = RandomPlace(SIZE, zoom=(3.0, 4.0))
    seen = {"kept": 0, "ignored": 0, "gone": 0}
    for seed in range(60):
        made = step(_example(), np.random.default_rng(seed))
        seen["gone" if not len(made.boxes) else "ignored" if made.ignored[0] else "kept"] += 1
        if len(made.boxes):
            assert (made.boxes >= 0).all()
            assert (made.boxes <= [[*SIZE, *SIZE]]).all()
    assert min(seen.values()) > 0


def test_same_seed_gives_the_same_picture() -> None:
    steps: tuple[Step, ...] = (Mosaic(SIZE, lambda _: _example()), Flip(), Colour(), Blur(), Noise())
    one, two, other = (run(steps, _example(), np.random.default_rng(seed)) for seed in (5, 5, 6))
    assert np.array_equal(one.image, two.image)
    assert np.array_equal(one.boxes, two.boxes)
    assert not np.array_equal(one.image, other.image)


def test_pictures_without_objects_pass_every_step() -> None:
    nothing = Example(
        np.full((90, 120, 3), 60, np.uint8),
        np.zeros((0, 4), np.float32),
        np.zeros(0, np.int64),
        np.zeros(0, np.bool_),
    )
    steps: tuple[Step, ...] = (
        Mosaic(SIZE, lambda _: nothing, part=1.0),
        Flip(1.0),
        Colour(),
        Blur(1.0),
        Noise(1.0),
    )
    made = run(steps, nothing, np.random.default_rng(0))
    assert made.boxes.shape == (0, 4)
    assert made.ignored.shape == (0,)
