"""Opening a model of any kind."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from agent.errors import ModelError
from converter.load.float_model import FloatInputs, Loaded, LoadOptions

KINDS = ".keras, .h5, .onnx, or a SavedModel's folder"


def model_kind(path: Path) -> str:
    """ "keras", "onnx", "saved-model" or "tflite", by what lies there.

    Raises:
        ModelError: nothing lies there, or nothing that is known.
    """
    if not path.exists():
        raise ModelError(str(path), "expected a model, got no such file", f"known are {KINDS}")
    if path.is_dir():
        if (path / "saved_model.pb").is_file():
            return "saved-model"
        raise ModelError(str(path), "expected saved_model.pb in the folder, got none", f"known are {KINDS}")
    suffix = path.suffix.lower()
    kinds = {".keras": "keras", ".h5": "keras", ".hdf5": "keras", ".onnx": "onnx", ".tflite": "tflite"}
    if suffix not in kinds:
        raise ModelError(
            str(path), f"expected {KINDS}, got {suffix or 'no ending'}", "export the model as one of these"
        )
    if path.stat().st_size == 0:
        raise ModelError(str(path), "expected a model, got an empty file", "save it again")
    return kinds[suffix]


def load_float(path: Path, options: LoadOptions, samples: Sequence[FloatInputs]) -> Loaded:
    """Convert any trained model to a float `.tflite`. Runs in the worker.

    Raises:
        ModelError: see the loaders.
    """
    kind = model_kind(path)
    if kind == "onnx":
        from converter.load.onnx_file import load_onnx

        return load_onnx(path, options, samples)
    if kind == "keras":
        from converter.load.keras_model import load_keras

        return load_keras(path, options, samples)
    if kind == "saved-model":
        from converter.load.saved_model import load_saved_model

        return load_saved_model(path, options, samples)
    raise ModelError(str(path), "expected a trained float model, got a .tflite file", f"known are {KINDS}")
