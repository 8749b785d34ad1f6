"""From a camera's picture to a model's input tensor, and boxes back again.

OpenCV resizes, reorders channels and looks up codes straight into the given buffer; between the picture
and the buffer there is at most one uint8 picture of the input's size and never a float one.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from agent.errors import ModelError
from agent.records import FloatArray, ImageArray
from agent.vision.model_spec import InputSpec
from agent.vision.quantize import TensorInfo, pixel_codes

_INTERPOLATION = {"linear": cv2.INTER_LINEAR, "area": cv2.INTER_AREA}


@dataclass(frozen=True, slots=True)
class Placement:
    """Where a picture lies in the model's input: input px = frame px · scale + offset.

    Args:
        frame_size: (width, height) of the picture in px.
        region: (left, top, width, height) that it covers in the input, px.
    """

    frame_size: tuple[int, int]
    region: tuple[int, int, int, int]

    def _scale_and_offset(self) -> tuple[FloatArray, FloatArray]:
        left, top, width, height = self.region
        scale = (width / self.frame_size[0], height / self.frame_size[1])
        return np.array(scale * 2, np.float32), np.array((left, top, left, top), np.float32)

    def to_input(self, boxes: FloatArray) -> FloatArray:
        """Boxes of the picture as boxes of the input: (N, 4) xyxy px, both."""
        scale, offset = self._scale_and_offset()
        return boxes * scale + offset

    def to_frame(self, boxes: FloatArray) -> FloatArray:
        """Boxes of the input as boxes of the picture, clipped to it: (N, 4) xyxy px, both."""
        scale, offset = self._scale_and_offset()
        limits = np.array(self.frame_size * 2, np.float32)
        moved: FloatArray = np.clip((boxes - offset) / scale, 0, limits)
        return moved


def place(frame_size: tuple[int, int], spec: InputSpec) -> Placement:
    """Where a picture of this size lies in the input of this model.

    Args:
        frame_size: (width, height) in px, both above 0.
        spec: letterbox keeps the aspect ratio and pads, stretch fills the input.
    """
    if spec.resize == "stretch":
        return Placement(frame_size, (0, 0, spec.width, spec.height))
    ratio = min(spec.width / frame_size[0], spec.height / frame_size[1])
    width = min(max(round(frame_size[0] * ratio), 1), spec.width)
    height = min(max(round(frame_size[1] * ratio), 1), spec.height)
    if spec.anchor == "top-left":
        return Placement(frame_size, (0, 0, width, height))
    return Placement(frame_size, ((spec.width - width) // 2, (spec.height - height) // 2, width, height))


class Letterbox:
    """Writes pictures into a model's input tensor as its ModelSpec says.

    Keeps one picture of scratch, so an instance serves one thread at a time.

    Args:
        spec: size, layout, colour, range and way of resizing.
        tensor: the model's input; (1, H, W, C), or (1, C, H, W) for layout "nchw".

    Raises:
        ModelError: the tensor's shape or dtype is not what the spec says.
    """

    def __init__(self, spec: InputSpec, tensor: TensorInfo) -> None:
        channels = 1 if spec.colour == "gray" else 3
        size = (spec.height, spec.width)
        expected = (1, *size, channels) if spec.layout == "nhwc" else (1, channels, *size)
        if tensor.shape != expected:
            raise ModelError(
                f"input {tensor.name}",
                f"the spec says {expected} ({spec.layout}, {spec.colour}), the file holds {tensor.shape}",
                "correct width, height, layout or colour in the ModelSpec",
            )
        if tensor.dtype not in (np.uint8, np.int8, np.float32) or (
            tensor.dtype != np.float32 and not tensor.quantized
        ):
            raise ModelError(
                f"input {tensor.name}",
                f"expected quantised uint8 or int8, or float32, the file holds {tensor.dtype.name}",
                "convert the model again with such an input",
            )
        self.spec = spec
        self.tensor = tensor
        codes = pixel_codes(spec.mean, spec.std, channels, tensor)
        self._pad_codes = codes[spec.pad]  # (C,)
        # int8 goes through OpenCV as its bytes.
        table = codes.view(np.uint8) if codes.dtype == np.int8 else codes
        identity = np.arange(256, dtype=np.uint8)[:, None]
        self._table: NDArray[Any] | None = table
        self._flip = False
        if table.dtype == np.uint8 and np.array_equal(table, np.broadcast_to(identity, table.shape)):
            self._table = None
        elif table.dtype == np.uint8 and np.array_equal(table, np.broadcast_to(identity ^ 0x80, table.shape)):
            self._table = None
            self._flip = True
        self._as_camera = spec.colour == "bgr" and spec.layout == "nhwc" and self._table is None
        self._scratch: ImageArray = np.zeros((*size, 3), np.uint8)
        self._plane: ImageArray = np.zeros(size, np.uint8)

    def new_buffer(self) -> NDArray[Any]:
        """A buffer of the input's shape and dtype."""
        return np.zeros(self.tensor.shape, self.tensor.dtype)

    def __call__(self, image: ImageArray, out: NDArray[Any]) -> Placement:
        """Write one picture into the buffer.

        Args:
            image: (H, W, 3) uint8, BGR.
            out: of the tensor's shape and dtype; written whole, padding too.

        Returns:
            Where the picture lies in the input, to bring boxes back.

        Raises:
            ValueError: `image` or `out` has another shape or dtype.
        """
        if image.ndim != 3 or image.shape[2] != 3 or image.dtype != np.uint8 or image.size == 0:
            raise ValueError(f"image: expected uint8 (H, W, 3), got {image.dtype} {image.shape}")
        if out.shape != self.tensor.shape or out.dtype != self.tensor.dtype:
            raise ValueError(
                f"out: expected {self.tensor.dtype} {self.tensor.shape}, got {out.dtype} {out.shape}"
            )
        placement = place((image.shape[1], image.shape[0]), self.spec)
        left, top, width, height = placement.region
        rows, columns = slice(top, top + height), slice(left, left + width)
        target = out[0].view(np.uint8) if out.dtype == np.int8 else out[0]
        self._pad(out[0], rows, columns)
        covered = target[rows, columns] if self.spec.layout == "nhwc" else target[:, rows, columns]
        resized = image
        if (width, height) != placement.frame_size:
            # Pixels that need neither reordering nor a table are resized straight into the tensor.
            resized = covered if self._as_camera else self._scratch[:height, :width]
            cv2.resize(image, (width, height), resized, interpolation=_INTERPOLATION[self.spec.interpolation])
        if self.spec.layout == "nchw":
            self._write_planes(resized, covered)
        elif not self._as_camera:
            self._write_pixels(resized, covered)
        elif resized is image:
            np.copyto(covered, image)
        if self._flip:
            np.bitwise_xor(covered, 0x80, out=covered)
        return placement

    def _pad(self, out: NDArray[Any], rows: slice, columns: slice) -> None:
        """Fill what lies outside rows × columns."""
        planar = self.spec.layout == "nchw"
        value = self._pad_codes[:, None, None] if planar else self._pad_codes
        before_rows, after_rows = slice(0, rows.start), slice(rows.stop, None)
        before_columns, after_columns = slice(0, columns.start), slice(columns.stop, None)
        for strip in (before_rows, after_rows):
            out[(slice(None), strip) if planar else (strip,)] = value
        for strip in (before_columns, after_columns):
            out[(slice(None), rows, strip) if planar else (rows, strip)] = value

    def _write_pixels(self, bgr: ImageArray, target: NDArray[Any]) -> None:
        """(h, w, 3) BGR into (h, w, C) of the model's colours and codes."""
        if self.spec.colour == "bgr":
            converted = bgr
        else:
            last = target if self._table is None else self._scratch[: bgr.shape[0], : bgr.shape[1]]
            if self.spec.colour == "rgb":
                converted = np.asarray(cv2.cvtColor(bgr, cv2.COLOR_BGR2RGB, last), np.uint8)
            else:
                plane = self._plane[: bgr.shape[0], : bgr.shape[1]]
                converted = np.asarray(cv2.cvtColor(bgr, cv2.COLOR_BGR2GRAY, plane), np.uint8)[:, :, None]
        if self._table is not None:
            # (1, 256, C): OpenCV wants a table of 256 entries with the picture's channels.
            cv2.LUT(converted, self._table[None], target)
        elif self.spec.colour == "gray":
            np.copyto(target, converted)

    def _write_planes(self, bgr: ImageArray, target: NDArray[Any]) -> None:
        """(h, w, 3) BGR into (C, h, w) of the model's colours and codes."""
        for channel, plane in enumerate(target):
            work = self._plane[: bgr.shape[0], : bgr.shape[1]] if self._table is not None else plane
            if self.spec.colour == "gray":
                cv2.cvtColor(bgr, cv2.COLOR_BGR2GRAY, work)
            else:
                cv2.extractChannel(bgr, channel if self.spec.colour == "bgr" else 2 - channel, work)
            if self._table is not None:
                cv2.LUT(work, self._table[:, channel], plane)
