"""Small real models, written once by TensorFlow in a process of its own."""

from __future__ import annotations

import importlib.util
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from agent.records import Frame
from agent.vision.model_spec import InputSpec, ModelSpec, OutputSpec, StateSpec, save_spec

CELL = 8


@pytest.fixture(scope="session")
def small_models(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """`bright.tflite` (int8), `slow.tflite` (recurrent) with their specs, `ssd.tflite` without one."""
    if importlib.util.find_spec("tensorflow") is None:
        pytest.skip("needs TensorFlow to write its models (pip install edgetrack[models])")
    folder = tmp_path_factory.mktemp("models")
    script = Path(__file__).with_name("make_models.py")
    done = subprocess.run(
        [sys.executable, str(script), str(folder)], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    spec = ModelSpec(
        name="bright",
        task="detection",
        decoder="anchor-free",
        input=InputSpec(width=64, height=64),
        strides=(CELL,),
        labels=("lamp",),
        min_score=0.5,
        outputs=(
            OutputSpec(role="boxes", name="PartitionedCall:0"),
            OutputSpec(role="scores", name="PartitionedCall:1"),
        ),
    )
    save_spec(spec, folder / "bright.json")
    state = StateSpec(output="PartitionedCall:1", input="serving_default_seen:0")
    slow = spec.input.model_copy(update={"name": "serving_default_picture:0"}) if spec.input else None
    save_spec(
        spec.model_copy(update={"name": "slow", "input": slow, "states": (state,)}), folder / "slow.json"
    )
    return folder


@pytest.fixture
def lamps() -> Callable[..., Frame]:
    """Makes dark frames whose cells at the given (column, row) are white."""

    def make(*places: tuple[int, int], size: tuple[int, int] = (64, 64), time_s: float = 0.0) -> Frame:
        width, height = size
        image = np.zeros((height, width, 3), np.uint8)
        wide, high = width // CELL, height // CELL
        for column, row in places:
            image[row * high : (row + 1) * high, column * wide : (column + 1) * wide] = 255
        return Frame(image, time_s, 0.0, 0)

    return make
