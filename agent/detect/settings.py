"""What a user may set of a detector."""

from __future__ import annotations

import os
import re
from pathlib import Path
from typing import Annotated, Literal

from pydantic import AfterValidator, Field, model_validator

from agent.settings import Fraction, Seconds, Section

FAKE_TPU_VARIABLE = "EDGETRACK_FAKE_TPU"
"""Environment variable without which no fake device may be named; see `agent.detect.tpu_fake`."""


def _known_device(name: str) -> str:
    if re.fullmatch(r"cpu|edgetpu|(usb|pci)(:\d{1,2})?", name):
        return name
    if re.fullmatch(r"fake:\d{1,2}", name) and os.environ.get(FAKE_TPU_VARIABLE):
        return name
    raise ValueError(f"expected cpu, edgetpu, usb, usb:0, pci:0 …, got {name!r}")


DeviceName = Annotated[str, AfterValidator(_known_device)]
RuntimeName = Literal["auto", "litert", "tflite-runtime"]


class MotionSettings(Section):
    """The model-free detector: what differs from the background is an object."""

    width: int = Field(default=320, ge=64, le=1920)
    """Width in px at which motion is looked for; wider pictures are reduced by the whole number that gives
    this or less."""
    absorb_s: float = Field(default=30.0, gt=0, le=3600)
    """Seconds after which what has stopped becomes background."""
    contrast: int = Field(default=12, ge=0, le=128)
    """Grey levels, of 256, by which a pixel must differ from the background around it."""
    remove_shadows: bool = True
    """Whether areas that are only darker than the background count as shadow rather than as object."""
    merge_gap: Fraction = 0.015
    """Parts closer together than this, as a fraction of the picture's width, are one object."""
    min_area: Fraction = 0.003
    """Smallest object, as a fraction of the picture; the detector's own `min_area` comes on top."""
    max_change: Fraction = 0.6
    """When more of the picture than this changes at once (light switched, camera moved), nothing is reported
    and the background is learnt anew."""
    warm_up_s: Seconds = 0.5
    """Time after the start in which the background is only learnt."""


class GateSettings(Section):
    """Lets a model rest while nothing moves; a still picture keeps its last detections."""

    hold_s: Seconds = 2.0
    """The model goes on for this long after the last movement."""
    refresh_s: Seconds = 5.0
    """The model looks at a still picture at least this often."""


class RegionSettings(Section):
    """Looks at regions of the frame at their own resolution, beside the whole frame, so that a model with a
    small input sees small objects (sliced inference, Akyol et al. 2022). Each costs as much as a frame."""

    kind: Literal["motion", "grid"] = "motion"
    """`motion`: around what moves and what is tracked, so that an empty scene costs nothing; `grid`: tiles
    that cover the frame, in turn, for objects that never move and for single pictures."""
    max_regions: int = Field(default=2, ge=1, le=32)
    """Regions of one frame at most; what they leave out comes first in the next."""
    zoom: float = Field(default=1.0, ge=0.25, le=4)
    """Px of the model's input for a px of the frame: 1 is the frame's own resolution; more enlarges small
    objects further and needs more regions."""
    min_motion_area: Fraction = 0.0003
    """Smallest movement to look at, as a fraction of the picture; below `motion.min_area`, since the model
    tells noise from objects."""


class DetectorSettings(Section):
    """What finds objects in a camera's frames."""

    kind: Literal["tflite", "motion"] = "tflite"
    """A model, or motion against the background."""
    model: Path | None = None
    """The `.tflite` file; its ModelSpec lies beside it as `.json`."""
    spec: Path | None = None
    """A ModelSpec that lies elsewhere. Without any, one is inferred where the file allows it."""
    labels_file: Path | None = None
    """Class names, one a line or `0  person`; wins over those of the ModelSpec."""
    runtime: RuntimeName = "auto"
    """LiteRT or tflite-runtime; auto: the first that is installed, for an Edge TPU the other one first."""
    device: DeviceName = "cpu"
    """`cpu`, `edgetpu` (any), `usb`, `usb:0`, `pci:0` …"""
    isolate: Literal["auto", "always", "never"] = "auto"
    """Whether the model runs in a process of its own, so that native code that crashes or hangs does not take
    the agent with it: auto for Edge TPUs only, always for any model, never. The process is started again;
    where no CPU model stands in meanwhile, frames of live cameras are not looked at and files end the run."""
    deadline_s: float = Field(default=1.0, ge=0.05, le=60)
    """Seconds within which a device answers; when it does not, the CPU goes on with the same frame."""
    threads: int = Field(default=0, ge=0, le=64)
    """CPU threads of the model; 0 for as many as there are cores, at most 4."""
    min_score: Fraction | None = None
    """Score below which detections are dropped; when left out, the model's own."""
    min_score_by_label: dict[str, Fraction] = {}
    """The same for single classes, by name."""
    labels: tuple[str, ...] = ()
    """Classes to keep; empty for all."""
    min_area: Fraction = 0.0
    """Smallest box, as a fraction of the picture."""
    max_area: Fraction = 1.0
    """Largest box, as a fraction of the picture."""
    motion: MotionSettings = MotionSettings()
    """How motion is found, for `kind: motion` and for the gate."""
    gate: GateSettings | None = None
    """When given, motion decides whether the model looks at a frame."""
    regions: RegionSettings | None = None
    """When given, the model looks at parts of the frame too, so that small objects are seen."""

    @model_validator(mode="after")
    def _check(self) -> DetectorSettings:
        if self.kind == "tflite" and self.model is None:
            raise ValueError("model: expected the path of a .tflite file for kind tflite, got none")
        if self.kind == "motion" and self.model is not None:
            raise ValueError(
                "model: expected none for kind motion, got a path; leave it out or set kind: tflite"
            )
        if self.min_area > self.max_area:
            raise ValueError(f"min_area: expected at most max_area ({self.max_area}), got {self.min_area}")
        return self


def cpu_model(model: Path) -> Path:
    """The file for the CPU that `name_edgetpu.tflite` was compiled from: `name.tflite` beside it."""
    return model.with_name(model.stem.removesuffix("_edgetpu") + model.suffix)
