from __future__ import annotations

import numpy as np
import pytest

from agent.errors import DataError
from models.evaluate.classification import score_classes


def test_scores_equal_those_counted_one_by_one() -> None:
    rng = np.random.default_rng(0)
    labels = ("a", "b", "c", "never")
    true, found = rng.integers(0, 3, 500), rng.integers(0, 3, 500)
    scores = score_classes(labels, true, found)
    assert scores.accuracy == pytest.approx(float((true == found).mean()))
    for row in range(3):
        hits = int(((true == row) & (found == row)).sum())
        precision, recall = hits / int((found == row).sum()), hits / int((true == row).sum())
        assert scores.precision[row] == pytest.approx(precision)
        assert scores.recall[row] == pytest.approx(recall)
        assert scores.f1[row] == pytest.approx(2 * precision * recall / (precision + recall))
    assert (scores.precision[3], scores.recall[3], scores.f1[3]) == (0.0, 0.0, 0.0)
    assert scores.confusion[0, 1] == ((true == 0) & (found == 1)).sum()
    assert scores.as_dict()["pictures"] == 500


def test_nothing_to_judge_is_refused() -> None:
    with pytest.raises(DataError, match="expected pictures to judge, got none"):
        score_classes(("a", "b"), np.zeros(0, np.int64), np.zeros(0, np.int64))
