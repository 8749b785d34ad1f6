"""The front page's example, as it stands there: train, convert, evaluate, and run on the agent."""

from __future__ import annotations

import re
import shlex
import shutil
import subprocess
import sys
from pathlib import Path

import cv2
import numpy as np
import pytest

from tests.models.printed_digits import printed_digits

ROOT = Path(__file__).parents[2]


def _readme_commands() -> list[list[str]]:
    """Words of every command in the README's blocks with `train classifier` or `classify`."""
    text = (ROOT / "README.md").read_text(encoding="utf-8")
    (block,) = [
        part for part in re.findall(r"```sh\n(.*?)```", text, re.DOTALL) if "train classifier" in part
    ]
    lines = block.replace("\\\n", " ").splitlines()
    return [shlex.split(line, comments=True) for line in lines if line.strip()]


def _option(words: list[str], name: str) -> str:
    return words[words.index(name) + 1]


@pytest.mark.slow
def test_the_readmes_classifier_example_runs(tmp_path: Path) -> None:
    """With printed digits in place of MNIST; fewer of them, in smaller batches."""
    commands = _readme_commands()
    programs = [" ".join(words[:2]) for words in commands]
    assert programs[:3] == [
        "edgetrack-models train",
        "edgetrack-convert convert",
        "edgetrack-models evaluate",
    ]
    shutil.copytree(ROOT / "models" / "training" / "configs", tmp_path / "models" / "training" / "configs")
    for name, count, seed in (("mnist_train.npz", 2000, 0), ("mnist_test.npz", 200, 1)):
        x, y = printed_digits(count, seed)
        np.savez(tmp_path / name, x=x, y=y)
    folder = Path(sys.executable).parent
    said: dict[str, str] = {}
    for words in commands:
        if "classify" in words:
            pictures = tmp_path / _option(words, "--source")
            pictures.mkdir()
            for number, (image, digit) in enumerate(zip(*printed_digits(20, 2), strict=True)):
                cv2.imwrite(str(pictures / f"{number}-{digit}.png"), image)
        small = ["--set", "batch_size=32", "--set", "epochs=4"] if words[1] == "train" else []
        done = subprocess.run(
            [str(folder / words[0]), *words[1:], *small],
            cwd=tmp_path,
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == 0, f"{words}: {done.stdout}{done.stderr}"
        said[words[1]] = done.stdout
    accuracy = re.search(r"accuracy ([\d.]+)", said["evaluate"])
    assert accuracy is not None
    assert float(accuracy[1]) >= 0.9
    if "classify" in said:
        rows = [re.match(r"\d+-(\d)\.png: (\d) ", line) for line in said["classify"].splitlines()]
        assert sum(row is not None and row[1] == row[2] for row in rows) >= 17
