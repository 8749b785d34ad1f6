"""The ModelSpec: what a `.tflite` file does not say of itself.

It lies beside the model as `name.json`; the two together are a bundle. The converter writes it, the agent
reads it, and nothing else of a model is needed. Quantisation is not repeated here: it is read from the
file, so that the two cannot disagree.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated, Literal

from pydantic import Field, ValidationError, model_validator

from agent.errors import ModelError
from agent.settings import Fraction, Section

Task = Literal["detection", "classification", "embedding", "sequence"]
PositiveFloat = Annotated[float, Field(gt=0)]
Activation = Literal["sigmoid", "softmax"]
DecoderName = Literal[
    "ssd-postprocess", "yolov5", "yolov8", "yolox", "fastestdet", "yunet", "anchor-free", "end-to-end"
]


class InputSpec(Section):
    """The picture that the model expects.

    A pixel p in 0..255 enters as (p - mean) / std, then quantised as the file says.
    """

    name: str | None = None
    """Name of the input tensor; may be left out when there is only one that is no state."""
    width: int = Field(ge=1, le=8192)
    height: int = Field(ge=1, le=8192)
    layout: Literal["nhwc", "nchw"] = "nhwc"
    colour: Literal["rgb", "bgr", "gray"] = "rgb"
    mean: tuple[float, ...] = (0.0,)
    """One for all channels or one per channel, in 0..255."""
    std: tuple[float, ...] = (255.0,)
    """One for all channels or one per channel."""
    resize: Literal["letterbox", "stretch"] = "letterbox"
    anchor: Literal["center", "top-left"] = "center"
    """Where a letterboxed picture lies in the input; YOLOX pads right and bottom only."""
    pad: int = Field(default=114, ge=0, le=255)
    """Grey of the padding."""
    interpolation: Literal["linear", "area"] = "linear"
    """How pictures are resized; "area" costs more and does not alias where large pictures become small."""

    @model_validator(mode="after")
    def _check(self) -> InputSpec:
        channels = 1 if self.colour == "gray" else 3
        for name, values in (("mean", self.mean), ("std", self.std)):
            if len(values) not in (1, channels):
                raise ValueError(f"{name}: expected 1 or {channels} numbers, got {len(values)}")
        if 0.0 in self.std:
            raise ValueError("std: expected numbers other than 0")
        return self


class OutputSpec(Section):
    """One output tensor and the part it plays for the decoder."""

    role: str
    """What the decoder calls it: "boxes", "scores", "objectness", "classes", "count", "predictions" …;
    which ones each decoder knows stands in `agent.vision.decode`."""
    name: str | None = None
    """Name of the tensor in the file."""
    index: int | None = Field(default=None, ge=0)
    """Position among the file's outputs, used when there is no name."""
    stride: int | None = Field(default=None, ge=1)
    """Px of the input per cell when the output holds one scale of several; None when it holds all of them."""
    activation: Activation | None = None
    """What the decoder still has to apply to "scores" or "objectness": a sigmoid to each number, or a softmax
    over the classes of a cell. None: nothing, or a sigmoid where `scores_are_logits`."""

    @model_validator(mode="after")
    def _check(self) -> OutputSpec:
        if self.name is None and self.index is None:
            raise ValueError(f"output {self.role}: expected a name or an index, got neither")
        allowed = {"scores": ("sigmoid", "softmax"), "objectness": ("sigmoid",)}.get(self.role, ())
        if self.activation is not None and self.activation not in allowed:
            known = " or ".join(allowed) or "none"
            raise ValueError(f"output {self.role}: expected activation {known}, got {self.activation}")
        return self


class StateSpec(Section):
    """An output that is fed back to an input at the next frame: the state of a recurrent model."""

    output: str
    input: str
    initial: float = 0.0


class Provenance(Section):
    """Where a model comes from; printed in its card."""

    source: str = ""
    licence: str = ""
    command: str = ""
    seed: int | None = None
    sha256: str = ""
    """Of the file that was converted; of the .tflite itself where no other file is given away."""
    converter: str = ""


class ModelSpec(Section):
    """All that the agent needs to know of a model beside the `.tflite` file itself."""

    schema_version: Literal[1] = 1
    name: str
    version: str = "0"
    task: Task
    input: InputSpec | None = None
    """None for models that see no picture (task "sequence")."""
    outputs: tuple[OutputSpec, ...] = ()
    decoder: DecoderName | None = None
    strides: tuple[int, ...] = ()
    """Px of the input per cell, one per output scale, for decoders that work on grids."""
    box_scale: PositiveFloat | tuple[PositiveFloat, PositiveFloat] = 1.0
    """Multiplies decoded boxes to px of the input: 1 when the outputs are in px, the input's side, or its
    (width, height), when they are 0..1."""
    scores_are_logits: bool = False
    """True when scores still need a sigmoid; of single outputs `OutputSpec.activation` says it."""
    labels: tuple[str, ...] = ()
    min_score: Fraction = 0.25
    """Score below which this model's detections are noise; the agent's default."""
    min_iou_nms: Fraction = 0.65
    """Boxes of one class that overlap more than this are one object; 1 switches NMS off."""
    states: tuple[StateSpec, ...] = ()
    reset_before_invoke: bool = False
    """True for fused recurrent operators that keep a state inside the interpreter between calls."""
    score_levels: tuple[Fraction, Fraction, Fraction] = (0.25, 0.5, 0.6)
    """What scores of this model mean to a tracker: from the first up a detection may continue a track, from
    the second up it is trusted, from the third up it may start one. The default suits the YOLO family."""
    provenance: Provenance = Provenance()

    @model_validator(mode="after")
    def _check(self) -> ModelSpec:
        if self.task == "detection" and (self.decoder is None or self.input is None):
            raise ValueError("a detection model: expected `decoder` and `input`, got none")
        if self.decoder in ("ssd-postprocess", "end-to-end") and any(own.activation for own in self.outputs):
            raise ValueError(f"outputs: expected no activation for decoder {self.decoder}, got one")
        if sorted(self.score_levels) != list(self.score_levels):
            raise ValueError(f"score_levels: expected them to rise, got {list(self.score_levels)}")
        return self


def spec_path(model: Path) -> Path:
    """Where the ModelSpec of a model file lies: `name.json` for `name.tflite` and `name_edgetpu.tflite`."""
    return model.with_name(model.stem.removesuffix("_edgetpu") + ".json")


def load_spec(path: Path) -> ModelSpec:
    """Read a ModelSpec.

    Raises:
        ModelError: the file is missing, is no JSON, or a field is not as expected (the first such is named).
    """
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise ModelError(
            str(path),
            f"expected a ModelSpec, got {error.strerror or error}",
            "put the .json that describes the .tflite of this name beside it; edgetrack-convert writes both",
        ) from error
    except ValueError as error:
        raise ModelError(
            str(path), f"expected JSON, got {error}", "write it again with edgetrack-convert"
        ) from error
    try:
        return ModelSpec.model_validate(content)
    except ValidationError as error:
        first = error.errors()[0]
        place = ".".join(str(part) for part in first["loc"])
        raise ModelError(
            f"{path} {place}".rstrip(), first["msg"], "see docs/converting.md, The ModelSpec"
        ) from error


def save_spec(spec: ModelSpec, path: Path) -> None:
    """Write a ModelSpec, only what differs from the defaults, with a trailing newline."""
    content = spec.model_dump(mode="json", exclude_defaults=True)
    path.write_text(json.dumps({"schema_version": 1, **content}, indent=2) + "\n", encoding="utf-8")
