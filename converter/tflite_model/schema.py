"""Names of the schema, looked up in the generated classes of the PyPI package `tflite`."""

from __future__ import annotations

import re
from functools import cache

import tflite


@cache
def enum_names(enum: str) -> dict[int, str]:
    """Number to name, of an enumeration of the schema."""
    return {value: name for name, value in vars(getattr(tflite, enum)).items() if isinstance(value, int)}


@cache
def option_fields(kind: str) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """The scalar and the vector fields of an options table, from its generated class."""
    methods = {name for name in vars(getattr(tflite, kind)) if name[0].isupper() and name != "Init"}
    methods -= {name for name in methods if name.startswith("GetRootAs") or "HasIdentifier" in name}
    vectors = {name for name in methods if f"{name}AsNumpy" in methods}
    tables = {name for name in methods if f"{name}Length" in methods} - vectors
    derived = {f"{name}{end}" for name in vectors | tables for end in ("AsNumpy", "Length", "IsNone")}
    return tuple(sorted(methods - vectors - tables - derived)), tuple(sorted(vectors))


def snake(name: str) -> str:
    """Turn "FusedActivationFunction" into "fused_activation_function"."""
    return re.sub(r"(?<=[a-z0-9])(?=[A-Z])", "_", name).lower()
