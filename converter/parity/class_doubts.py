"""What a top-1 does not show: a model that guesses, and classes that no sample is of."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from numpy.typing import NDArray

_SIGMAS = 2.0


def class_doubts(found: NDArray[Any], truth: NDArray[Any], classes: int) -> list[str]:
    """Why a float model's top-1 shows less than it seems.

    Args:
        found, truth: (N,) classes, as the float model and the data set have them.
        classes: that the model tells apart.

    Returns:
        One clause each: it is right no more often than guesses among its classes would be, within two
        standard deviations of these; classes have no sample.
    """
    doubts = []
    right, chance = float((found == truth).mean()), 1 / classes
    bound = chance + _SIGMAS * math.sqrt(chance * (1 - chance) / len(truth))
    if right <= bound < 1:
        doubts.append(
            f"the float model itself is near chance (top-1 {right:.4f}, of guesses {chance:.4f}): check "
            "mean, std, colour and labels in the spec, or how the arrays were scaled"
        )
    known = np.unique(truth[(truth >= 0) & (truth < classes)])
    if len(known) < classes:
        doubts.append(
            f"{classes - len(known)} of {classes} classes have no sample: of these nothing is shown"
        )
    return doubts
