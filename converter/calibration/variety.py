"""Whether calibration samples show a model anything: none, few or nearly equal ones give no useful ranges."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from agent.errors import DataError
from converter.load.float_model import FloatInputs

MIN_SAMPLES = 32
"""Below this single pictures decide on ranges; 100 and more are usual."""
MIN_VARIETY = 0.1
"""Spread between samples over spread within them; a camera that looks at a wall has less."""
_LOOKED_AT = 256


def constant_inputs(samples: Iterable[Mapping[str, NDArray[Any]]]) -> dict[str, float]:
    """Inputs that are the same flat value, or the same flat colour, in all samples.

    Args:
        samples: arrays by input name, with a batch axis. Read only until every input has varied.

    Returns:
        The first value of each such input, by name.
    """
    first: dict[str, NDArray[Any]] = {}
    flat: dict[str, float] = {}
    for sample in samples:
        if not first:
            first = dict(sample)
            flat = {name: float(array.flat[0]) for name, array in first.items() if _is_flat(array)}
        for name in [name for name in flat if not np.array_equal(sample[name], first[name])]:
            del flat[name]
        if not flat:
            break
    return flat


def _is_flat(array: NDArray[Any]) -> bool:
    """One value, or in pictures (1, H, W, C) or (1, C, H, W) one per channel."""
    if array.size == 0:
        return False
    if array.ndim != 4:
        return bool(array.min() == array.max())
    return any(not np.ptp(array, axis=axes).any() for axes in ((1, 2), (2, 3)))


def refuse_constant(constant: Mapping[str, float], count: int, where: str) -> None:
    """Say that nothing can be learnt of an input.

    Raises:
        DataError: `constant` holds an input.
    """
    for name, value in constant.items():
        raise DataError(
            f"{where} input {name}".removesuffix(" input "),
            f"expected samples that vary, got the same flat value ({value:g}) throughout, in all {count}",
            "give samples of what the model will see",
        )


def is_few(count: int) -> bool:
    """Too few for ranges that hold."""
    return count < MIN_SAMPLES


def is_uniform(samples: Iterator[FloatInputs]) -> bool:
    """Whether samples differ less among them than within.

    A thinned copy of each is enough to see it.
    """
    rows = [
        np.concatenate([array.reshape(-1)[:: max(array.size // 4096, 1)] for array in sample.values()])
        for _, sample in zip(range(_LOOKED_AT), samples, strict=False)
    ]
    if len({row.size for row in rows}) > 1 or len(rows) < 2:
        return False
    table = np.stack(rows).astype(np.float64)
    between = float(np.sqrt(table.var(axis=0).mean()))
    return between <= MIN_VARIETY * max(float(table.std()), 1e-12)
