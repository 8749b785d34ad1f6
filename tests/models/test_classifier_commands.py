"""The documentation's example: train, convert, evaluate, all through the programs' own commands."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest


def _write_stripes(path: Path, count: int, seed: int) -> None:
    """Noisy 16×16 pictures of upright, lying and slanted stripes."""
    rng = np.random.default_rng(seed)
    classes = rng.integers(0, 3, count)
    y, x = np.mgrid[0:16, 0:16]
    waves = np.stack([x, y, (x + y) / np.sqrt(2)])[classes] + rng.uniform(0, 6, (count, 1, 1))
    images = 128 + 70 * np.sin(waves * 1.3) + rng.normal(0, 35, waves.shape)
    names = np.array(["up", "flat", "slant"])
    np.savez(path, x=np.clip(images, 0, 255).astype(np.uint8), y=classes, classes=names)


def _run(module: str, *words: str, folder: Path) -> str:
    program = f"from {module} import main; main()"
    done = subprocess.run(
        [sys.executable, "-c", program, *words], cwd=folder, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.mark.slow
def test_classifier_from_arrays_to_scores_of_its_int8_bundle(tmp_path: Path) -> None:
    _write_stripes(tmp_path / "train.npz", 480, 0)
    _write_stripes(tmp_path / "test.npz", 120, 1)
    small = ["-s", "stem=8", "-s", "stages=[16, 16]", "-s", "epochs=6", "-s", "learning_rate=5e-3"]
    files = ["-s", "data=train.npz", "-s", "held_out=test.npz", "-s", "output=run", "-s", "name=stripes"]
    _run("models.cli", "train", "classifier", *files, *small, folder=tmp_path)
    inputs = ["--calibration", "run/calibration.npz", "--evaluate", "run/held_out.npz"]
    converting = ["convert", "run/best.keras", "--spec", "run/stripes.json", *inputs, "-o", "bundle", "-q"]
    _run("converter.cli", *converting, folder=tmp_path)
    judging = ["evaluate", "classification", "-m", "bundle/stripes.tflite", "-d", "test.npz", "--json"]
    scores = json.loads(_run("models.cli", *judging, folder=tmp_path))
    assert scores["pictures"] == 120
    assert scores["accuracy"] >= 0.95
    assert np.trace(scores["confusion"]) == round(scores["accuracy"] * 120)
