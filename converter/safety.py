"""What a model file may ask of us: limits that are checked before any library opens it."""

from __future__ import annotations

import re
import zipfile
from collections.abc import Iterator, Mapping
from pathlib import Path, PurePosixPath
from typing import Any

from agent.errors import ModelError
from converter.keras_functions import CALLING_CLASSES, REFUSED_CLASSES, computes_only

MAX_UNPACKED_BYTES = 2**32
MAX_RATIO = 300
"""Unpacked over packed bytes; weights hardly shrink, and even all zeros hold to a few hundred with
the JSON.
"""
MAX_ENTRIES = 10_000
MAX_SIZE = 2**20
"""Units, filters or side lengths of one layer."""
MAX_ELEMENTS = 2**28
_SIZE_FIELDS = frozenset(
    {
        "units",
        "filters",
        "kernel_size",
        "input_dim",
        "output_dim",
        "batch_shape",
        "batch_input_shape",
        "pool_size",
        "target_shape",
        "padding",
        "size",
        "n",
        "depth_multiplier",
    }
)


_MODULES = frozenset({"builtins", "keras", "tensorflow", "tf_keras"})
"""Keras imports whatever module a layer's configuration names."""


def check_zip(path: Path) -> None:
    """Refuse an archive that would fill the memory or disk, or write elsewhere.

    Raises:
        ModelError: it is damaged, unpacks to too much, or names paths outside itself.
    """
    try:
        with zipfile.ZipFile(path) as archive:
            entries = archive.infolist()
    except (zipfile.BadZipFile, OSError, ValueError) as error:
        raise ModelError(
            str(path), f"expected a Keras archive (.keras), got: {error}", "save the model again"
        ) from error
    if len(entries) > MAX_ENTRIES:
        raise ModelError(
            str(path), f"expected up to {MAX_ENTRIES} entries, got {len(entries)}", "this is no Keras model"
        )
    unpacked = sum(entry.file_size for entry in entries)
    packed = max(sum(entry.compress_size for entry in entries), 1)
    if unpacked > MAX_UNPACKED_BYTES or (unpacked > 2**20 and unpacked > MAX_RATIO * packed):
        raise ModelError(
            str(path),
            f"expected an archive of weights, got {packed} bytes that unpack to {unpacked}",
            "this may be a zip bomb",
        )
    for entry in entries:
        name = PurePosixPath(entry.filename)
        if name.is_absolute() or ".." in name.parts:
            raise ModelError(
                str(path),
                f"expected entries within the archive, got {entry.filename!r}",
                "do not trust this file",
            )


def check_h5(path: Path) -> dict[str, str]:
    """Look through an HDF5 file without reading its arrays.

    Returns:
        The file's text attributes ("model_config", "keras_version" …).

    Raises:
        ModelError: it is damaged, links to other files, or declares absurd arrays.
    """
    import h5py

    try:
        with h5py.File(path, "r") as file:
            _check_h5_group(file, path)
            attributes = {}
            for name in file.attrs:
                value = file.attrs[name]
                if isinstance(value, bytes):
                    value = value.decode("utf-8", "replace")
                if isinstance(value, str):
                    attributes[str(name)] = value
            return attributes
    except (OSError, KeyError, RuntimeError, ValueError, UnicodeDecodeError) as error:
        first = (str(error) or type(error).__name__).splitlines()[0]
        raise ModelError(
            str(path), f"expected an HDF5 file, got: {first[:160]}", "copy or save it again"
        ) from error


def _check_h5_group(group: Any, path: Path, depth: int = 0) -> None:
    import h5py

    if depth > 64:
        raise ModelError(str(path), "expected up to 64 nested groups, got more", "do not trust this file")
    for name in group:
        link = group.get(name, getlink=True)
        if isinstance(link, h5py.ExternalLink):
            raise ModelError(
                f"{path} {name}",
                f"expected data within the file, got a link to {link.filename!r}",
                "save it again",
            )
        if isinstance(link, h5py.SoftLink):
            continue
        item = group[name]
        if isinstance(item, h5py.Group):
            _check_h5_group(item, path, depth + 1)
        elif isinstance(item, h5py.Dataset):
            stored = max(item.id.get_storage_size(), 1)
            if (
                item.external
                or item.is_virtual
                or item.size > MAX_ELEMENTS
                or item.nbytes > max(MAX_RATIO * stored, 2**20)
            ):
                raise ModelError(
                    f"{path} {item.name}",
                    f"expected weights, got shape {item.shape} in {stored} bytes",
                    "do not trust this file",
                )


def config_layers(config: Any) -> Iterator[Mapping[str, Any]]:
    """Every {"class_name": …, "config": …} of a Keras configuration, nested ones too."""
    if isinstance(config, dict):
        if isinstance(config.get("class_name"), str):
            yield config
        for value in config.values():
            yield from config_layers(value)
    elif isinstance(config, list):
        for value in config:
            yield from config_layers(value)


def check_keras_config(config: Any, path: Path, allow_lambda: bool) -> None:
    """Refuse a configuration that carries code or absurd sizes.

    Raises:
        ModelError: a Lambda layer, or one that calls functions which do more than compute, while they are not
            allowed; or a layer beyond `MAX_SIZE`. The layer is named.
    """
    for layer in config_layers(config):
        own = layer.get("config")
        own = own if isinstance(own, dict) else {}
        where = f"{path} layer {own.get('name', layer['class_name'])}"
        code = None if allow_lambda else _code(layer, own)
        if code is not None:
            raise ModelError(
                where,
                f"expected layers without code of their own, got {code}, which would run as you",
                "if you trust the file: --allow-lambda; better: replace it by a layer of Keras, or export a "
                "SavedModel",
            )
        for name in _SIZE_FIELDS.intersection(own):
            sizes = own[name] if isinstance(own[name], list) else [own[name]]
            wrong = [size for size in sizes if isinstance(size, int | float) and not -1 <= size <= MAX_SIZE]
            if wrong:
                raise ModelError(
                    where,
                    f"expected {name} up to {MAX_SIZE}, got {wrong[0]}",
                    "this is no model for a device",
                )


def _code(layer: Mapping[str, Any], own: Mapping[str, Any]) -> str | None:
    """What of a layer may do more than compute; None where nothing does."""
    # Keras looks for both, and takes "module.Class" and "package>Class" as well.
    kinds = {re.split("[>.]", str(layer.get(key)))[-1] for key in ("class_name", "registered_name")}
    if kinds & {"Lambda", "__lambda__"}:
        return "a Lambda layer"
    if kinds & REFUSED_CLASSES:
        return f"a layer of class {min(kinds & REFUSED_CLASSES)}"
    if kinds & CALLING_CLASSES and not computes_only(own.get("function")):
        return f"a call of tf.{str(own.get('function'))[:80]}"
    module = layer.get("module")
    if isinstance(module, str) and module.split(".")[0] not in _MODULES:
        return f"one of the module {module[:80]}"
    return None
