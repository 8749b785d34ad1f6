"""The solver that is loaded directly, against the public one."""

from __future__ import annotations

import subprocess
import sys

import numpy as np
import pytest
from scipy.optimize import linear_sum_assignment as public

from agent.track.assignment import linear_sum_assignment


@pytest.mark.parametrize("shape", [(0, 3), (1, 1), (5, 9), (40, 40), (120, 70)])
@pytest.mark.parametrize("maximize", [False, True])
def test_assignment_equals_the_public_one(shape: tuple[int, int], maximize: bool) -> None:
    cost = np.random.default_rng(sum(shape)).normal(size=shape)
    rows, columns = linear_sum_assignment(cost, maximize=maximize)
    expected_rows, expected_columns = public(cost, maximize=maximize)
    assert (rows.tolist(), columns.tolist()) == (expected_rows.tolist(), expected_columns.tolist())


def test_tracker_does_not_import_all_of_scipy_optimize() -> None:
    code = "import sys, agent.track.tracker; print('scipy.optimize' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "False"
