"""Running a detector over pictures."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from pathlib import Path

import numpy as np

from agent.detect.interpreter import Interpreter
from agent.errors import ModelError
from agent.records import Detections, ImageArray
from agent.vision.decode.decoder import Decoder
from agent.vision.letterbox import Letterbox
from agent.vision.model_spec import InputSpec, ModelSpec
from agent.vision.quantize import TensorInfo
from converter.layer_match import PASSING
from converter.tflite_model.reader import read_tflite

MIN_SCORE = 0.01
"""Average precision wants the whole curve; below this nothing changes it."""


def fitted_spec(spec: ModelSpec, inputs: Sequence[TensorInfo], outputs: Sequence[TensorInfo]) -> ModelSpec:
    """A spec as it applies to another file of the same model.

    The float and the int8 file of a model may differ in layout, and in whether outputs are split: what the
        file itself says of that wins.
    """
    changes: dict[str, object] = {}
    if spec.input is not None and inputs:
        changes["input"] = _fitted_input(spec.input, inputs[0])
    names = {output.name for output in outputs}
    if any(output.name is not None and output.name not in names for output in spec.outputs):
        changes["outputs"] = (
            tuple(
                output.model_copy(update={"name": outputs[i].name}) for i, output in enumerate(spec.outputs)
            )
            if len(outputs) == len(spec.outputs)
            else ()
        )
    elif len(outputs) == 1 and len(spec.outputs) > 1:
        changes["outputs"] = ()
    return spec.model_copy(update=changes)


def _fitted_input(spec: InputSpec, tensor: TensorInfo) -> InputSpec:
    channels = 1 if spec.colour == "gray" else 3
    if len(tensor.shape) != 4:
        return spec
    first = tensor.shape[1] == channels and tensor.shape[3] != channels
    height, width = tensor.shape[2:] if first else tensor.shape[1:3]
    return spec.model_copy(
        update={"layout": "nchw" if first else "nhwc", "height": height, "width": width, "name": tensor.name}
    )


def _without_done_activations(path: Path, spec: ModelSpec) -> ModelSpec:
    """A spec whose outputs need no activation where the file itself ends in it.

    The converter cuts a SOFTMAX off the int8 file that the original still has.
    """
    if not any(output.activation for output in spec.outputs):
        return spec
    graph = read_tflite(path).main
    producers = {tensor: operator for operator in graph.operators for tensor in operator.outputs}
    endings = {}
    for index in graph.outputs:
        operator = producers.get(index)
        while operator is not None and operator.name in PASSING:
            operator = producers.get(operator.inputs[0])
        endings[graph.tensors[index].name] = operator.name if operator is not None else ""
    done = {"SOFTMAX": "softmax", "LOGISTIC": "sigmoid"}
    outputs = tuple(
        output.model_copy(update={"activation": None})
        if output.activation is not None and done.get(endings.get(output.name or "", "")) == output.activation
        else output
        for output in spec.outputs
    )
    return spec.model_copy(update={"outputs": outputs})


def detect_all(
    path: Path,
    spec: ModelSpec,
    images: Iterable[ImageArray],
    min_score: float = MIN_SCORE,
    runtime: str = "auto",
    progress: Callable[[int], None] | None = None,
) -> list[Detections]:
    """Detections of a `.tflite` in every picture, in px of the picture.

    Raises:
        ModelError: the file does not fit the spec.
    """
    if spec.input is None:
        raise ModelError(spec.name, "expected `input` in the ModelSpec of a detector, got none")
    interpreter = Interpreter(path, runtime=runtime, threads=2)
    fitted = _without_done_activations(path, fitted_spec(spec, interpreter.inputs, interpreter.outputs))
    letterbox = Letterbox(fitted.input or spec.input, interpreter.inputs[0])
    decoder = Decoder(fitted, interpreter.outputs, min_score=min_score)
    buffer = letterbox.new_buffer()
    found = []
    for count, image in enumerate(images, 1):
        placement = letterbox(image, buffer)
        interpreter.input_view(0)[...] = buffer
        interpreter.invoke()
        own = decoder([np.array(interpreter.output(i)) for i in range(len(interpreter.outputs))])
        found.append(Detections(placement.to_frame(own.boxes), own.scores, own.labels))
        if progress is not None:
            progress(count)
    return found
