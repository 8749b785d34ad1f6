"""Examples of actions as an `.npz` file."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from agent.actions.history import FEATURES, STEPS
from agent.errors import DataError, StorageError
from models.actions.examples import ACTION_LABELS, ActionExamples
from models.data.npz_file import read_arrays


def save_examples(path: Path, examples: ActionExamples) -> None:
    """Write examples.

    Raises:
        StorageError: the file cannot be written.
    """
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        np.savez_compressed(
            path, x=examples.features, y=examples.classes, tracks=examples.tracks,
            classes=np.array([str(label) for label in ACTION_LABELS]),
        )  # fmt: skip
    except OSError as error:
        raise StorageError(str(path), f"expected to write arrays, got {error.strerror or error}") from error


def load_examples(path: Path) -> ActionExamples:
    """Read examples.

    Raises:
        DataError: the file holds none, or ones of other features or actions.
    """
    advice = "make it with edgetrack-models scene actions"
    stored = read_arrays(path, "examples of actions", ("x", "y", "tracks", "classes"), advice)
    features, classes, tracks = stored["x"], stored["y"], stored["tracks"]
    names = tuple(str(name) for name in stored["classes"])
    count = len(features)
    if features.shape[1:] != (STEPS, FEATURES) or classes.shape != (count,) or tracks.shape != (count,):
        raise DataError(
            str(path), f"expected x (N, {STEPS}, {FEATURES}), y and tracks (N,), got {features.shape}, "
            f"{classes.shape} and {tracks.shape}", advice,
        )  # fmt: skip
    if names != tuple(ACTION_LABELS):
        raise DataError(
            str(path), f"expected the actions {', '.join(ACTION_LABELS)}, got {', '.join(names)}", advice
        )
    if not count or not np.isfinite(features).all():
        raise DataError(str(path), f"expected finite numbers, got {count} rows, not all finite", advice)
    if classes.min() < 0 or classes.max() >= len(names):
        got = int(classes.max()) if classes.max() >= len(names) else int(classes.min())
        raise DataError(str(path), f"expected classes of 0..{len(names) - 1}, got {got}", advice)
    return ActionExamples(features.astype(np.float32), classes.astype(np.int64), tracks.astype(np.int64))
