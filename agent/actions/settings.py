"""The section `actions` of the configuration."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

from pydantic import Field

from agent.settings import Section


class ActionSettings(Section):
    """What tracked people do (walk, run, stand, fall, loiter), for rules with `actions` and for alerts."""

    model: Literal["auto"] | Path = "auto"
    """The action model's `.tflite`, its ModelSpec beside it; auto: the one that ships."""
    labels: tuple[str, ...] = ("person",)
    """Classes of objects that are looked at; empty: all."""
    memory_s: Annotated[float, Field(ge=0.0, le=5.0)] = 0.4
    """Time over which the model's answers are averaged. Longer wavers less and tells later."""
