"""Codes and the numbers they stand for."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent.vision.quantize import TensorInfo, at_least, dequantize, min_code, pixel_codes, quantize


def tensor(dtype, scale=0.0, zero_point=0):
    return TensorInfo("t", (1,), np.dtype(dtype), scale, zero_point)


ALL_CODES = {np.int8: np.arange(-128, 128).astype(np.int8), np.uint8: np.arange(256).astype(np.uint8)}


@given(
    dtype=st.sampled_from([np.int8, np.uint8]),
    scale=st.floats(1e-9, 1e6),
    offset=st.integers(0, 255),
    value=st.floats(-1e6, 1e6),
)
def test_at_least_decides_as_dequantised_numbers_do(dtype, scale, offset, value):
    info = tensor(dtype, scale, offset + np.iinfo(dtype).min)
    codes = ALL_CODES[dtype]
    np.testing.assert_array_equal(at_least(codes, value, info), dequantize(codes, info) >= np.float32(value))


@given(dtype=st.sampled_from([np.int8, np.uint8]), offset=st.integers(0, 255), step=st.integers(0, 255))
def test_at_least_includes_a_bound_that_is_a_code_itself(dtype, offset, step):
    info = tensor(dtype, 1 / 255, offset + np.iinfo(dtype).min)
    codes = ALL_CODES[dtype]
    bound = float(dequantize(codes, info)[step])
    assert at_least(codes, bound, info).sum() == 256 - step


@pytest.mark.parametrize("bound", [float("-inf"), float("inf")])
def test_at_least_takes_infinite_bounds(bound):
    info = tensor(np.int8, 0.1, 3)
    assert at_least(ALL_CODES[np.int8], bound, info).all() == (bound < 0)
    assert at_least(np.float32([0, 1]), bound, tensor(np.float32)).all() == (bound < 0)


@given(dtype=st.sampled_from([np.int8, np.uint8]), offset=st.integers(0, 255), scale=st.floats(1e-6, 1e3))
def test_codes_survive_the_round_trip(dtype, offset, scale):
    info = tensor(dtype, scale, offset + np.iinfo(dtype).min)
    np.testing.assert_array_equal(quantize(dequantize(ALL_CODES[dtype], info), info), ALL_CODES[dtype])


def test_quantize_clips_to_the_dtype():
    assert quantize(np.array([-1e9, 1e9]), tensor(np.int8, 0.1, 5)).tolist() == [-128, 127]


def test_min_code_of_a_float_tensor_is_the_number_itself():
    assert min_code(0.3, tensor(np.float32)) == 0.3


def test_pixel_codes_of_the_usual_int8_input_are_the_pixels_shifted():
    table = pixel_codes((0.0,), (255.0,), 3, tensor(np.int8, 1 / 255, -128))
    np.testing.assert_array_equal(table, np.repeat(np.arange(-128, 128)[:, None], 3, axis=1))
