from __future__ import annotations

import numpy as np

from models.data.augment import Example
from models.data.clutter import Clutter


def _example(seed: int) -> Example:
    rng = np.random.default_rng(seed)
    corner = rng.uniform(0, 200, (6, 2))
    boxes = np.concatenate([corner, corner + rng.uniform(8, 60, (6, 2))], axis=1).astype(np.float32)
    image = rng.integers(0, 256, (256, 320, 3)).astype(np.uint8)
    return Example(image, boxes, np.zeros(6, np.int64), np.zeros(6, np.bool_))


def test_things_are_drawn_beside_the_objects_not_over_them() -> None:
    """Pixels change; of no object more than a quarter does, soft edges aside; boxes stay as they are."""
    changed = 0
    for seed in range(60):
        before = _example(seed)
        after = Clutter(1.0)(before, np.random.default_rng(seed))
        differs = (after.image != before.image).any(axis=2)
        changed += bool(differs.any())
        for left, top, right, bottom in np.round(before.boxes).astype(int).tolist():
            own = differs[top:bottom, left:right]
            edge = 4 * (own.shape[0] + own.shape[1])
            assert np.count_nonzero(own) <= 0.25 * own.size + edge
        np.testing.assert_array_equal(after.boxes, before.boxes)
    assert changed >= 55


def test_seed_decides_all_and_the_given_picture_stays() -> None:
    example = _example(0)
    given = example.image.copy()
    one, two, other = (Clutter(1.0)(example, np.random.default_rng(seed)).image for seed in (1, 1, 2))
    np.testing.assert_array_equal(one, two)
    assert (one != other).any()
    np.testing.assert_array_equal(example.image, given)
    assert Clutter(0.0)(example, np.random.default_rng(1)) is example
