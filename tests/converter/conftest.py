"""Fixtures of the converter's tests. TensorFlow only ever runs in a worker, as it does in use."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from converter.worker import Worker

TRAINING = Path(__file__).with_name("train_sequence_models.py")


@pytest.fixture(scope="session")
def worker() -> Iterator[Worker]:
    """One child process with TensorFlow for all tests of a session."""
    with Worker(timeout_s=900) as running:
        yield running


@pytest.fixture(scope="session")
def digits(shared_data: Path) -> tuple[NDArray[np.float32], NDArray[np.uint8]]:
    """3,500 digits in 0..1, (N, 28, 28), shuffled, and their classes."""
    with np.load(shared_data / "mnist" / "mnist_train.npz") as file:
        rows = np.random.default_rng(0).permutation(len(file["y"]))[:3500]
        return file["x"][rows].astype(np.float32) / 255, file["y"][rows]


@pytest.fixture(scope="session")
def sequence_models(
    digits: tuple[NDArray[np.float32], NDArray[np.uint8]], tmp_path_factory: pytest.TempPathFactory
) -> Path:
    """A folder with LSTM, GRU, TCN, Conv3D and CNN models of Keras 2 and 3, and calibration and test
    arrays.
    """
    folder = tmp_path_factory.mktemp("sequence-models")
    x, y = digits
    shifted = np.stack([np.roll(x, frame, axis=2) for frame in range(4)], axis=1)[..., None]
    for name, inputs in (("rows", x), ("pictures", x[..., None]), ("volumes", shifted)):
        np.savez(folder / f"{name}-train.npz", x=inputs[:2500], y=y[:2500])
        np.savez(folder / f"{name}-calibration.npz", x=inputs[:100])
        np.savez(folder / f"{name}-test.npz", x=inputs[2500:], y=y[2500:])
    for version in ("2", "3"):
        subprocess.run(
            [sys.executable, str(TRAINING), version, str(folder)],
            check=True,
            capture_output=True,
            timeout=1800,
        )
    return folder
