"""What a top-1 does not show is told."""

from __future__ import annotations

import numpy as np
import pytest

from converter.parity.class_doubts import class_doubts

TRUTH = np.arange(600) % 10
CHANCE = "the float model itself is near chance"


def found(share: float) -> np.ndarray:
    """Classes of which this share is right, the others wrong by one."""
    right = np.random.default_rng(0).permutation(len(TRUTH)) < share * len(TRUTH)
    return np.where(right, TRUTH, (TRUTH + 1) % 10)


@pytest.mark.parametrize(
    ("share", "doubted"), [(0.0, True), (0.1, True), (0.12, True), (0.15, False), (1, False)]
)
def test_model_that_is_right_as_often_as_guesses_is_doubted(share: float, doubted: bool) -> None:
    assert any(CHANCE in doubt for doubt in class_doubts(found(share), TRUTH, 10)) is doubted


def test_a_few_samples_that_are_all_right_are_no_chance() -> None:
    assert class_doubts(np.array([0, 1, 1]), np.array([0, 1, 1]), 2) == []


def test_classes_without_a_sample_are_counted() -> None:
    same = np.full(50, 3)
    assert class_doubts(same, same, 10) == ["9 of 10 classes have no sample: of these nothing is shown"]
    # -1 stands for a class that the model does not know.
    some = np.array([-1, 0, 1, 2, 3, 4] * 20)
    assert "5 of 10 classes have no sample" in class_doubts(some, some, 10)[0]
    assert class_doubts(TRUTH, TRUTH, 10) == []
