"""The camera's own movement, from what the tracks did together: no pictures needed."""

from __future__ import annotations

import numpy as np

from agent.track.kalman import Float64Array


def camera_shift(residuals: Float64Array, trust: float = 0.8, doubt: float = 8.0) -> Float64Array:
    """Shift of the picture since the last frame that no track's own motion explains.

    The median m of the residuals is shrunk by its uncertainty, so that a few people who all turn left do
    not look like a camera that turns right: m × trust × m² / (m² + doubt × σ² / n), with σ = 1.4826 MAD
    (P. Rousseeuw, C. Croux, Alternatives to the Median Absolute Deviation, JASA 1993).

    Args:
        residuals: (2, N) detection minus prediction of the matched tracks' centres, px.
        trust: largest share of the median that is believed.
        doubt: how much the uncertainty of the median counts.

    Returns:
        (2,) px; 0 for fewer than three residuals.
    """
    n = residuals.shape[1]
    if n < 3:
        return np.zeros(2)
    ordered = np.sort(residuals, axis=1)
    median = 0.5 * (ordered[:, n // 2] + ordered[:, (n - 1) // 2])
    spread = np.sort(np.abs(residuals - median[:, None]), axis=1)
    sigma = 1.4826 * 0.5 * (spread[:, n // 2] + spread[:, (n - 1) // 2])
    power = np.square(median)
    shift: Float64Array = trust * median * power / (power + doubt * np.square(sigma) / n + 1e-12)
    return shift
