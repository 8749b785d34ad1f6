"""The estimate of on-chip memory against what published logs say."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from converter.edgetpu.memory import LAYOUT_GROWTH, MIB, ParameterMemory, estimate_memory
from converter.tflite_model.reader import read_tflite


@pytest.mark.parametrize(
    ("input_mib", "on_chip_mib", "off_chip_mib"),
    [
        (8.11, 6.86, 1.22),  # google-coral/edgetpu#60
        (4.41, 1.92, 3.23),  # #427
        (7.31, 6.89, 0.17),  # #512
        (8.00, 7.16, 2.95),  # #518
        (4.04, 0.59, 3.45),  # #572
        (5.21, 6.02, 0.00),  # #671
        (1.91, 2.27, 0.00),  # #458
    ],
)
def test_laid_out_parameters_stay_below_the_estimate(
    input_mib: float, on_chip_mib: float, off_chip_mib: float
) -> None:
    """A file holds a little more than its parameters, so the worst case from its size must not be less."""
    memory = estimate_from(input_mib)
    assert on_chip_mib + off_chip_mib <= memory.most_bytes / MIB


def estimate_from(input_mib: float) -> ParameterMemory:
    return ParameterMemory(int(input_mib * MIB), int(input_mib * MIB * LAYOUT_GROWTH), 0)


@pytest.mark.parametrize(
    ("mib", "fits", "segments"), [(3.4, True, 1), (6.5, None, 2), (9.0, False, 2), (20.0, False, 4)]
)
def test_answer_follows_the_size(mib: float, fits: bool | None, segments: int) -> None:
    memory = estimate_from(mib)
    assert memory.fits is fits
    assert memory.segments == segments
    assert f"{mib:.2f} to" in memory.text


def test_shared_constant_counts_once(maker: Any) -> None:
    weights = maker.constant(np.ones((8, 1, 1, 4)), "int8")
    x = maker.operator("CONV_2D", [maker.tensor(), weights])
    maker.operator("CONV_2D", [x, weights])
    graph = maker.graph()
    memory = estimate_memory(graph, graph.operators)
    assert memory.parameter_bytes == 32
    assert memory.peak_activation_bytes == 2 * 8 * 8 * 4


@pytest.mark.data
def test_parameters_are_most_of_a_real_file(shared_data: Path) -> None:
    model = read_tflite(shared_data / "models" / "mobilenet_v2_1.0_224_quant.tflite")
    memory = estimate_memory(model.main, model.main.operators)
    assert 0.95 < memory.parameter_bytes / model.size_bytes < 1.0
