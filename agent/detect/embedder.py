"""An embedding bundle on the agent's runtime: what objects look like, as short vectors."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from agent.detect.interpreter import Interpreter
from agent.errors import ModelError
from agent.records import FloatArray, ImageArray
from agent.vision.crop import cut_box
from agent.vision.letterbox import Letterbox
from agent.vision.model_spec import ModelSpec, load_spec, spec_path
from agent.vision.quantize import dequantize


class Embedder:
    """One model, loaded and ready to run; serves one thread at a time.

    Args:
        model: the `.tflite` file, its ModelSpec beside it.
        threads, device, runtime: see `agent.detect.interpreter.Interpreter`.

    Raises:
        ModelError: the model, its spec or the runtime do not fit.
    """

    def __init__(self, model: Path, *, threads: int = 1, device: str = "cpu", runtime: str = "auto") -> None:
        self.spec: ModelSpec = load_spec(spec_path(model))
        if self.spec.task != "embedding" or self.spec.input is None:
            raise ModelError(
                str(spec_path(model)),
                f"expected an embedding model with `input`, got one for {self.spec.task}",
            )
        self._interpreter = Interpreter(model, threads=threads, device=device, runtime=runtime)
        outputs = self._interpreter.outputs
        if len(outputs) != 1 or len(outputs[0].shape) != 2 or outputs[0].shape[0] != 1:
            raise ModelError(
                str(model),
                f"expected one output (1, D), the file holds {', '.join(map(str, outputs))}",
            )
        self.length = outputs[0].shape[1]
        """D, of each vector."""
        self.size = (self.spec.input.width, self.spec.input.height)
        """(width, height) px of the input."""
        self._letterbox = Letterbox(self.spec.input, self._interpreter.inputs[0])
        self._buffer = self._letterbox.new_buffer()

    def __call__(self, image: ImageArray, boxes: NDArray[Any]) -> FloatArray:
        """What objects of a picture look like.

        Args:
            image: (H, W, 3) uint8, BGR.
            boxes: (N, 4) xyxy px, N may be 0.

        Returns:
            (N, D) float32 of length 1; zeros for boxes outside of the picture.
        """
        found = np.zeros((len(boxes), self.length), np.float32)
        for row, box in enumerate(boxes):
            piece = cut_box(image, box)
            if piece is not None:
                found[row] = self.crop(piece)[0]
        return found

    def crop(self, piece: ImageArray) -> FloatArray:
        """(1, D) float32 of length 1, of a piece (H, W, 3) uint8 BGR that shows one object."""
        self._letterbox(piece, self._buffer)
        self._interpreter.input_view(0)[...] = self._buffer
        self._interpreter.invoke()
        return unit_rows(dequantize(self._interpreter.output(0), self._interpreter.outputs[0]))


def unit_rows(vectors: FloatArray) -> FloatArray:
    """(N, D) scaled to length 1; zeros stay zeros."""
    length = np.sqrt(np.einsum("nd,nd->n", vectors, vectors))[:, None]
    unit: FloatArray = (vectors / np.maximum(length, 1e-12)).astype(np.float32)
    return unit
