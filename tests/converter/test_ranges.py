"""Choosing activation ranges."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray

from converter.observe import BINS, Activation
from converter.ranges import (
    choose_ranges,
    join_ranges,
    least_squared_error,
    limit_ranges,
    min_max,
    percentile,
)


def activation(values: NDArray[np.float64]) -> Activation:
    counts, _ = np.histogram(values, BINS, (values.min(), values.max()))
    return Activation("a", float(values.min()), float(values.max()), counts)


NORMAL = np.random.default_rng(0).normal(size=200_000)


def test_percentile_is_numpys_within_a_bin() -> None:
    low, high = percentile(0.99)(activation(NORMAL))
    width = (NORMAL.max() - NORMAL.min()) / BINS
    assert low == pytest.approx(np.quantile(NORMAL, 0.005), abs=2 * width)
    assert high == pytest.approx(np.quantile(NORMAL, 0.995), abs=2 * width)


def quantisation_error(values: NDArray[np.float64], low: float, high: float) -> float:
    step = (high - low) / 255
    codes = np.clip(np.rint((values - low) / step), 0, 255)
    return float(np.mean((values - (low + codes * step)) ** 2))


def test_least_squared_error_beats_min_max_on_long_tails() -> None:
    values = np.concatenate([NORMAL, [60.0, -60.0]])
    own = activation(values)
    assert quantisation_error(values, *least_squared_error(own)) < 0.8 * quantisation_error(
        values, *min_max(own)
    )


def test_least_squared_error_keeps_an_even_spread_whole() -> None:
    own = activation(np.random.default_rng(1).uniform(-1, 1, 100_000))
    low, high = least_squared_error(own)
    assert (low, high) == (pytest.approx(-1, abs=0.02), pytest.approx(1, abs=0.02))


def test_ranges_hold_zero_and_are_never_empty() -> None:
    ranges = choose_ranges(
        {0: activation(NORMAL + 20), 1: Activation("dead", 0.0, 0.0, np.zeros(BINS, np.int64))}, min_max
    )
    assert ranges[0][0] == 0.0
    assert ranges[1][1] > ranges[1][0]


def test_states_share_a_range_and_limits_only_narrow() -> None:
    ranges = {0: (-1.0, 2.0), 1: (-3.0, 1.0), 2: (-9.0, 5.0)}
    assert join_ranges(ranges, [(0, 1)]) == {0: (-3.0, 2.0), 1: (-3.0, 2.0), 2: (-9.0, 5.0)}
    assert limit_ranges(ranges, {2: (-6.0, np.inf), 7: (0.0, 1.0)})[2] == (-6.0, 5.0)
