"""What the motion model learns from: features of tracks, and what the forecasts of the filter lack."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

from agent.records import FloatArray
from agent.track.motion_lstm import FEATURES, HORIZONS_S, STEPS

Rows: TypeAlias = NDArray[np.intp] | NDArray[np.bool_]
_SIGNED = [0, 2]
"""Features that change their sign when a scene is mirrored: x off the line, and its velocity."""


@dataclass(frozen=True, slots=True, eq=False)
class Examples:
    """Tracks at a moment, and how far the filter will be off.

    Args:
        features: (N, STEPS, FEATURES) float32.
        corrections: (N, horizons, 2) float32, box heights: truth minus the filter's damped forecast; NaN
            where the truth is not known.
    """

    features: FloatArray
    corrections: FloatArray

    def __len__(self) -> int:
        return len(self.features)

    def __getitem__(self, rows: Rows) -> Examples:
        return Examples(self.features[rows], self.corrections[rows])

    def mirrored(self, rows: NDArray[np.bool_]) -> Examples:
        """The same, those of `rows` (N,) as in a mirror."""
        sign = np.where(rows, np.float32(-1), np.float32(1))[:, None, None]
        features, corrections = self.features.copy(), self.corrections.copy()
        features[..., _SIGNED] *= sign
        corrections[..., :1] *= sign
        return Examples(features, corrections)


def joined(parts: Sequence[Examples]) -> Examples:
    """All of them, in their order; none give none."""
    return Examples(
        np.concatenate([np.empty((0, STEPS, FEATURES), np.float32), *(part.features for part in parts)]),
        np.concatenate([np.empty((0, len(HORIZONS_S), 2), np.float32), *(p.corrections for p in parts)]),
    )


def mean_errors(residual: FloatArray) -> tuple[float, ...]:
    """Final displacement error: mean distance at each horizon.

    Args:
        residual: (N, horizons, 2) box heights; NaN where the truth is not known.

    Returns:
        One for each horizon, box heights; NaN where no truth is known.
    """
    distances = np.hypot(residual[..., 0], residual[..., 1]).astype(np.float64)
    known = np.isfinite(residual).all(axis=2)
    sums, counts = np.where(known, distances, 0.0).sum(axis=0), known.sum(axis=0)
    return tuple(float(s / n) if n else float("nan") for s, n in zip(sums, counts, strict=True))
