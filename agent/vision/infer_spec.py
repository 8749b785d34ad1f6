"""A ModelSpec for files that people bring without one: Coral's SSD, Ultralytics' exports, YOLOX, FastestDet.

Nothing is assumed that the file does not show: layouts follow from shapes and embedded metadata, and
whether boxes are decoded or in px is seen by running the model once.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from agent.errors import ModelError
from agent.vision.decode.bind import describe, grid_cells
from agent.vision.decode.lists import bind_post_process
from agent.vision.embedded import Embedded, read_embedded
from agent.vision.model_spec import InputSpec, ModelSpec, OutputSpec, load_spec, spec_path
from agent.vision.quantize import TensorInfo, dequantize

_log = logging.getLogger(__name__)
_STRIDES = (8, 16, 32)
_FASTESTDET_STRIDE = 16
_KNOWN = (
    "(1, N, 4), (1, N), (1, N), (1) of TFLite_Detection_PostProcess; (1, 4 + C, N), (1, N, 5 + C) or "
    "(1, N, 6) of YOLO; (1, 5 + C, H / 16, W / 16) of FastestDet"
)

RunBlank: TypeAlias = Callable[[], Sequence[NDArray[Any]]]
"""Runs the model on an input of zeros and returns its outputs, in the file's order."""


def read_spec_or_infer(
    model: Path,
    inputs: Sequence[TensorInfo],
    outputs: Sequence[TensorInfo],
    run_blank: RunBlank,
    *,
    spec: Path | None = None,
    labels: tuple[str, ...] = (),
) -> ModelSpec:
    """The ModelSpec of a detector: the one given, the one beside the file, or one inferred from the file.

    Args:
        model: the `.tflite` file.
        inputs, outputs: of the file, in its order.
        run_blank: see `RunBlank`; called only where the answer is needed.
        spec: a ModelSpec that lies elsewhere.
        labels: class names that win over those of the spec; empty for none.

    Raises:
        ModelError: the spec cannot be read, or there is none and the file fits no known layout.
    """
    path = spec or spec_path(model)
    if spec is not None or path.exists():
        found = load_spec(path)
    else:
        found = infer_spec(model, inputs, outputs, run_blank, labels)
        _log.info("%s: no ModelSpec, inferred decoder %s from the file", model, found.decoder)
    return found.model_copy(update={"labels": labels}) if labels else found


def infer_spec(
    model: Path,
    inputs: Sequence[TensorInfo],
    outputs: Sequence[TensorInfo],
    run_blank: RunBlank,
    labels: tuple[str, ...] = (),
) -> ModelSpec:
    """A ModelSpec from what a detector's file shows of itself; see `read_spec_or_infer`.

    Raises:
        ModelError: the file fits no layout, or several.
    """
    embedded = read_embedded(model)
    names = labels or embedded.labels
    task = embedded.metadata.get("task", "detect")
    if task != "detect":
        raise ModelError(str(model), f"expected a model that finds boxes, got one for {task!r}")
    picture = _picture_input(model, inputs)
    if len(outputs) == 4:
        bind_post_process(outputs)
        return _spec(model, "ssd-postprocess", _ssd_input(picture, inputs[0]), names)
    if len(outputs) != 1:
        raise _unknown(model, outputs)
    return _infer_single(model, outputs[0], picture, names, embedded, run_blank)


def _infer_single(
    model: Path,
    output: TensorInfo,
    picture: InputSpec,
    names: tuple[str, ...],
    embedded: Embedded,
    run_blank: RunBlank,
) -> ModelSpec:
    """Of a file with one output: YOLO or FastestDet, by shape."""
    shape = output.shape
    blank = ModelSpec(name=model.stem, task="detection", decoder="yolox", input=picture)
    cells = sum(grid_cells(blank, stride) for stride in _STRIDES)
    side = (picture.width, picture.height)
    if len(shape) == 4 and shape[0] == 1:
        grid = (-(-picture.height // _FASTESTDET_STRIDE), -(-picture.width // _FASTESTDET_STRIDE))
        if (shape[2:] == grid and shape[1] > 5) or (shape[1:3] == grid and shape[3] > 5):
            stretched = {"resize": "stretch", "colour": "bgr"}
            return _spec(model, "fastestdet", picture.model_copy(update=stretched), names, min_iou_nms=0.45)
    if len(shape) != 3 or shape[0] != 1:
        raise _unknown(model, [output])
    ultralytics = bool(embedded.metadata)
    if shape[2] == 6 and shape[1] not in (cells, 3 * cells) and ultralytics:
        return _spec(model, "end-to-end", picture, names, box_scale=side)
    if shape[2] == cells and shape[1] > 4:
        scale = side if _reach(run_blank(), output, axis=1) <= 2.0 else 1.0
        return _spec(model, "yolov8", picture, names, box_scale=scale)
    if shape[1] == 3 * cells and shape[2] > 5:
        scale = side if _reach(run_blank(), output, axis=2) <= 2.0 else 1.0
        return _spec(model, "yolov5", picture, names, box_scale=scale)
    if shape[1] == cells and shape[2] > 5:
        yolox = picture.model_copy(
            update={"colour": "bgr", "mean": (0.0,), "std": (1.0,), "anchor": "top-left"}
        )
        # Cells that are not decoded give offsets of about one cell, decoded ones the whole picture.
        decoded = _reach(run_blank(), output, axis=2) > picture.width / 2
        return _spec(model, "yolov5" if decoded else "yolox", yolox, names, min_iou_nms=0.45)
    raise _unknown(model, [output])


def _reach(outputs: Sequence[NDArray[Any]], output: TensorInfo, axis: int) -> float:
    """The largest x of any row: on a picture of nothing the rows still lie all over their grid."""
    return float(dequantize(np.take(outputs[0], 0, axis=axis), output).max())


def _picture_input(model: Path, inputs: Sequence[TensorInfo]) -> InputSpec:
    """The one input that takes a picture, as Ultralytics' and most other exports expect it: RGB in 0..1.

    Raises:
        ModelError: there is none, or there are several.
    """
    if len(inputs) == 1 and len(inputs[0].shape) == 4 and inputs[0].shape[0] == 1:
        _, a, b, c = inputs[0].shape
        if c in (1, 3):
            return InputSpec(width=b, height=a, colour="rgb" if c == 3 else "gray")
        if a in (1, 3):
            return InputSpec(width=c, height=b, layout="nchw", colour="rgb" if a == 3 else "gray")
    raise ModelError(
        str(model),
        f"expected one input (1, H, W, 3) or (1, 3, H, W), the file holds {describe(inputs)}",
        "write a ModelSpec beside it",
    )


def _ssd_input(picture: InputSpec, tensor: TensorInfo) -> InputSpec:
    """TensorFlow's SSDs: stretched; pixels enter a quantised input as they are, a float one as -1..1."""
    if tensor.quantized:
        # (p - mean) / std quantised by (scale, zero point) is p again, for int8 p - 128.
        offset = 128 if tensor.dtype == np.int8 else 0
        update = {"mean": (float(tensor.zero_point + offset),), "std": (1.0 / tensor.scale,)}
    else:
        update = {"mean": (127.5,), "std": (127.5,)}
    return picture.model_copy(update={"resize": "stretch", **update})


def _spec(
    model: Path, decoder: str, picture: InputSpec, labels: tuple[str, ...], **more: object
) -> ModelSpec:
    outputs = () if decoder == "ssd-postprocess" else (OutputSpec(role="predictions", index=0),)
    content = {
        "name": model.stem,
        "task": "detection",
        "decoder": decoder,
        "input": picture,
        "labels": labels,
    }
    return ModelSpec.model_validate({**content, "outputs": outputs, **more})


def _unknown(model: Path, outputs: Sequence[TensorInfo]) -> ModelError:
    return ModelError(
        str(model),
        f"expected outputs of a known detector ({_KNOWN}), the file holds {describe(outputs)}",
        f"write a ModelSpec, {spec_path(model).name}, beside it",
    )
