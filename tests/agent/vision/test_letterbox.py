"""The letterbox against a plain float computation of what the ModelSpec says, and its way back."""

from __future__ import annotations

import cv2
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent.errors import ModelError
from agent.vision.letterbox import Letterbox, place
from agent.vision.model_spec import InputSpec
from agent.vision.quantize import TensorInfo, quantize

RNG = np.random.default_rng(0)
SIZES = [(90, 160), (160, 90), (64, 96), (200, 300)]  # (height, width)
DTYPES = [
    pytest.param(np.uint8, 1 / 255, 0, id="uint8-identity"),
    pytest.param(np.int8, 1 / 255, -128, id="int8-shifted"),
    pytest.param(np.float32, 0.0, 0, id="float32"),
    pytest.param(np.int8, 0.02, -10, id="int8-table"),
    pytest.param(np.uint8, 1 / 127.5, 128, id="uint8-table"),
]


def tensor_for(spec: InputSpec, dtype: type, scale: float = 0.0, zero_point: int = 0) -> TensorInfo:
    channels = 1 if spec.colour == "gray" else 3
    size = (spec.height, spec.width)
    shape = (1, *size, channels) if spec.layout == "nhwc" else (1, channels, *size)
    return TensorInfo("input", shape, np.dtype(dtype), scale, zero_point)


def reference(image: np.ndarray, spec: InputSpec, tensor: TensorInfo) -> np.ndarray:
    """The same in float64, one step after the other."""
    left, top, width, height = place((image.shape[1], image.shape[0]), spec).region
    resized = cv2.resize(image, (width, height), interpolation=cv2.INTER_LINEAR)
    if spec.colour == "rgb":
        resized = resized[..., ::-1]
    if spec.colour == "gray":
        resized = cv2.cvtColor(resized, cv2.COLOR_BGR2GRAY)[..., None]
    canvas = np.full((spec.height, spec.width, resized.shape[2]), spec.pad, np.float64)
    canvas[top : top + height, left : left + width] = resized
    real = (canvas - np.array(spec.mean)) / np.array(spec.std)
    return quantize((real.transpose(2, 0, 1) if spec.layout == "nchw" else real)[None], tensor)


@pytest.mark.parametrize(("dtype", "scale", "zero_point"), DTYPES)
@pytest.mark.parametrize("layout", ["nhwc", "nchw"])
@pytest.mark.parametrize("colour", ["rgb", "bgr", "gray"])
@pytest.mark.parametrize(
    ("resize", "anchor"), [("letterbox", "center"), ("letterbox", "top-left"), ("stretch", "center")]
)
def test_writes_what_the_spec_says(dtype, scale, zero_point, layout, colour, resize, anchor):
    ranges = [((0.0,), (255.0,))]
    if colour != "gray":
        ranges.append(((123.0, 116.0, 103.0), (58.0, 57.0, 57.5)))
    for mean, std in ranges:
        spec = InputSpec(
            width=96,
            height=64,
            layout=layout,
            colour=colour,
            resize=resize,
            anchor=anchor,
            mean=mean,
            std=std,
        )
        tensor = tensor_for(spec, dtype, scale, zero_point)
        letterbox = Letterbox(spec, tensor)
        buffer = letterbox.new_buffer()
        for size in SIZES:
            image = RNG.integers(0, 256, (*size, 3), dtype=np.uint8)
            untouched = image.copy()
            buffer[...] = 77  # what the last frame left
            letterbox(image, buffer)
            np.testing.assert_array_equal(image, untouched)
            expected = reference(image, spec, tensor)
            np.testing.assert_allclose(buffer.astype(np.float64), expected, atol=1e-6)


def test_takes_a_crop_of_a_larger_picture():
    spec = InputSpec(width=32, height=32, mean=(0.0,), std=(255.0,))
    tensor = tensor_for(spec, np.int8, 1 / 255, -128)
    whole = RNG.integers(0, 256, (100, 100, 3), dtype=np.uint8)
    crop = whole[10:70, 20:90]
    letterbox = Letterbox(spec, tensor)
    buffer = letterbox.new_buffer()
    letterbox(crop, buffer)
    np.testing.assert_array_equal(buffer, reference(crop.copy(), spec, tensor))


@given(
    width=st.integers(1, 3000),
    height=st.integers(1, 3000),
    resize=st.sampled_from(["letterbox", "stretch"]),
    anchor=st.sampled_from(["center", "top-left"]),
)
def test_boxes_come_back_to_where_they_were(width, height, resize, anchor):
    placement = place((width, height), InputSpec(width=320, height=192, resize=resize, anchor=anchor))
    left, top, region_width, region_height = placement.region
    assert left >= 0
    assert top >= 0
    assert left + region_width <= 320
    assert top + region_height <= 192
    boxes = np.float32([[0, 0, width, height], [width * 0.25, height * 0.5, width * 0.75, height]])
    inside = placement.to_input(boxes)
    np.testing.assert_allclose(
        inside[0], [left, top, left + region_width, top + region_height], rtol=1e-5, atol=1e-3
    )
    np.testing.assert_allclose(placement.to_frame(inside), boxes, rtol=1e-4, atol=1e-2)


def test_boxes_in_the_padding_are_clipped_to_the_picture():
    placement = place((200, 100), InputSpec(width=100, height=100))
    boxes = placement.to_frame(np.float32([[-10, 0, 120, 100]]))
    np.testing.assert_array_equal(boxes, [[0, 0, 200, 100]])


@pytest.mark.parametrize(
    ("tensor", "said"),
    [
        (TensorInfo("x", (1, 3, 64, 96), np.dtype(np.uint8), 1 / 255, 0), "(1, 3, 64, 96)"),
        (TensorInfo("x", (1, 64, 96, 3), np.dtype(np.int16), 1 / 255, 0), "int16"),
        (TensorInfo("x", (1, 64, 96, 3), np.dtype(np.uint8)), "uint8"),
    ],
)
def test_a_tensor_that_does_not_fit_is_refused(tensor, said):
    with pytest.raises(ModelError, match="input x: ") as caught:
        Letterbox(InputSpec(width=96, height=64), tensor)
    assert said in str(caught.value)


@pytest.mark.parametrize(
    "image", [np.zeros((4, 4), np.uint8), np.zeros((4, 4, 3), np.float32), np.zeros((0, 4, 3), np.uint8)]
)
def test_a_picture_of_another_kind_is_refused(image):
    spec = InputSpec(width=8, height=8)
    letterbox = Letterbox(spec, tensor_for(spec, np.float32))
    with pytest.raises(ValueError, match="image: expected uint8"):
        letterbox(image, letterbox.new_buffer())
