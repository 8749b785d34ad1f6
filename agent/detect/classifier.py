"""A classification bundle on the agent's runtime: which class a picture shows."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from agent.detect.interpreter import Interpreter
from agent.errors import ModelError
from agent.records import FloatArray, ImageArray
from agent.vision.decode.boxes import sigmoid
from agent.vision.letterbox import Letterbox
from agent.vision.model_spec import Activation, ModelSpec, load_spec, spec_path
from agent.vision.quantize import dequantize


class Classifier:
    """One model, loaded and ready to run; serves one thread at a time.

    Args:
        model: the `.tflite` file, its ModelSpec beside it.
        threads, device, runtime: see `agent.detect.interpreter.Interpreter`.

    Raises:
        ModelError: the model, its spec or the runtime do not fit.
    """

    def __init__(self, model: Path, *, threads: int = 2, device: str = "cpu", runtime: str = "auto") -> None:
        self.spec: ModelSpec = load_spec(spec_path(model))
        if self.spec.task != "classification" or self.spec.input is None:
            raise ModelError(
                str(spec_path(model)),
                f"expected a classification model with `input`, got one for {self.spec.task}",
            )
        self._interpreter = Interpreter(model, threads=threads, device=device, runtime=runtime)
        outputs = self._interpreter.outputs
        if len(outputs) != 1 or outputs[0].shape != (1, len(self.spec.labels)):
            raise ModelError(
                str(model),
                f"expected one output (1, {len(self.spec.labels)}), one number for each label, "
                f"the file holds {', '.join(map(str, outputs))}",
            )
        self._activation = _activation(self.spec)
        self._letterbox = Letterbox(self.spec.input, self._interpreter.inputs[0])
        self._buffer = self._letterbox.new_buffer()

    def __call__(self, image: ImageArray) -> FloatArray:
        """(C,) float32 scores of one (H, W, 3) uint8 BGR picture, in the order of the spec's labels."""
        self._letterbox(image, self._buffer)
        self._interpreter.input_view(0)[...] = self._buffer
        self._interpreter.invoke()
        scores: FloatArray = dequantize(self._interpreter.output(0), self._interpreter.outputs[0])[0].copy()
        if self._activation == "softmax":
            powers = np.exp(scores - scores.max())
            shares: FloatArray = powers / powers.sum()
            return shares
        return sigmoid(scores) if self._activation == "sigmoid" else scores


def _activation(spec: ModelSpec) -> Activation | None:
    """What the outputs still need to become scores."""
    if spec.outputs and spec.outputs[0].activation is not None:
        return spec.outputs[0].activation
    return "sigmoid" if spec.scores_are_logits else None
