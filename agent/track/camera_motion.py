"""The camera's own movement, from what the tracks did together: no pictures needed."""

from __future__ import annotations

from agent.track.kalman import Float64Array

_ENOUGH = 64
"""So many residuals are looked at; the median of more is hardly better."""


def camera_shift(residuals: Float64Array, trust: float = 0.8, doubt: float = 8.0) -> tuple[float, float]:
    """Shift of the picture since the last frame that no track's own motion explains.

    The median m of the residuals is shrunk by its uncertainty, so that a few people who all turn left do
    not look like a camera that turns right: m × trust × m² / (m² + doubt × σ² / n), with σ = 1.4826 MAD
    (P. Rousseeuw, C. Croux, Alternatives to the Median Absolute Deviation, JASA 1993).

    Args:
        residuals: (2, N) detection minus prediction of the matched tracks' centres, px, oldest track first.
        trust: largest share of the median that is believed.
        doubt: how much the uncertainty of the median counts.

    Returns:
        (x, y) in px; 0 for fewer than three residuals.
    """
    x, y = residuals[:, :_ENOUGH].tolist()
    if len(x) < 3:
        return 0.0, 0.0
    return _shrunk_median(x, trust, doubt), _shrunk_median(y, trust, doubt)


def _shrunk_median(values: list[float], trust: float, doubt: float) -> float:
    """In plain Python, which for a few dozen numbers is faster than NumPy's calls."""
    median = _median(values)
    deviation = 1.4826 * _median([abs(value - median) for value in values])
    power = median * median
    if power == 0.0:
        return 0.0
    return trust * median * power / (power + doubt * deviation * deviation / len(values))


def _median(values: list[float]) -> float:
    ordered = sorted(values)
    half = len(ordered) // 2
    return ordered[half] if len(ordered) % 2 else 0.5 * (ordered[half - 1] + ordered[half])
