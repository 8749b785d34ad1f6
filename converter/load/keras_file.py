"""Which Keras wrote a file, and opening it with that one.

Keras 2 cannot read files of Keras 3; Keras 3 cannot read `.keras` files of Keras 2, nor its `.h5` files with
LSTM, GRU or DepthwiseConv. So the file is looked into first. Runs in the worker.
"""

from __future__ import annotations

import json
import zipfile
from pathlib import Path
from typing import Any

from agent.errors import ModelError
from converter.load.float_model import LoadOptions
from converter.safety import check_h5, check_keras_config, check_zip


def open_keras(path: Path, options: LoadOptions) -> tuple[Any, int]:
    """Load a `.keras` or `.h5` file.

    Returns:
        The model and the major version of the Keras that it belongs to.

    Raises:
        ModelError: no such file, damaged, hostile, or with layers that are not Keras' own.
    """
    config, version = _look_into(path)
    check_keras_config(config, path, options.allow_lambda)
    if version >= 3:
        import keras

        load, extra = keras.models.load_model, {"safe_mode": not options.allow_lambda}
    else:
        import tf_keras

        load, extra = tf_keras.models.load_model, {"safe_mode": not options.allow_lambda}
    try:
        model = load(str(path), compile=False, **extra)
    except MemoryError:
        raise
    except Exception as error:
        # Keras raises whatever its layers raise; all of it means that this file does not make a model.
        if type(error).__name__ == "ResourceExhaustedError":
            raise MemoryError from error
        first = (str(error).strip() or type(error).__name__).splitlines()[0]
        hint = (
            "layers of your own: export a SavedModel instead"
            if "nknown layer" in str(error) or "locate class" in str(error)
            else "save it again"
        )
        raise ModelError(str(path), f"expected a Keras {version} model, got: {first[:240]}", hint) from error
    _compute_in_float32(model)
    return model, version


def _compute_in_float32(model: Any) -> None:
    """What was trained in mixed precision has float32 weights, and TFLite no float16 convolutions."""
    for layer in model._flatten_layers():
        if str(layer.compute_dtype) == "float32":
            continue
        if hasattr(layer, "_set_dtype_policy"):  # Keras 2
            layer._set_dtype_policy("float32")
        else:
            layer.dtype_policy = "float32"


def _look_into(path: Path) -> tuple[Any, int]:
    """(configuration, major version of Keras) of a file."""
    try:
        head = path.read_bytes()[:8] if path.stat().st_size < 2**31 else b""
    except OSError as error:
        raise ModelError(str(path), f"expected a Keras file, got {error.strerror or error}") from error
    if head.startswith(b"PK"):
        check_zip(path)
        try:
            with zipfile.ZipFile(path) as archive:
                metadata = json.loads(archive.read("metadata.json"))
                config = json.loads(archive.read("config.json"))
            return config, _major(metadata.get("keras_version"))
        except (KeyError, ValueError, AttributeError, zipfile.BadZipFile, RuntimeError) as error:
            raise ModelError(
                str(path), f"expected config.json and metadata.json, got: {error}", "save it again"
            ) from error
    if head == b"\x89HDF\r\n\x1a\n":
        attributes = check_h5(path)
        if "model_config" not in attributes:
            raise ModelError(
                str(path), "expected a whole model, got weights only", "save it with model.save()"
            )
        try:
            return json.loads(attributes["model_config"]), _major(attributes.get("keras_version"))
        except ValueError as error:
            raise ModelError(
                str(path), f"expected a model configuration, got: {error}", "save it again"
            ) from error
    raise ModelError(
        str(path),
        f"expected a Keras file (.keras or .h5), got one that begins with {head!r}",
        "save it again",
    )


def _major(version: Any) -> int:
    """3 for "3.9.0"; files without a version come from Keras 2 or older."""
    text = str(version or "2").removesuffix("-tf")
    return 3 if text.split(".")[0].isdigit() and int(text.split(".")[0]) >= 3 else 2
