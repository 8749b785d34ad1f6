from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from agent.records import ImageArray
from agent.vision.privacy import PrivacyMethod, anonymise


@pytest.fixture
def texture() -> ImageArray:
    return np.random.default_rng(1).integers(0, 256, (120, 160, 3), dtype=np.uint8)


@pytest.mark.parametrize("method", ["blur", "pixelate"])
def test_inside_is_averaged_and_outside_is_untouched(texture: ImageArray, method: PrivacyMethod) -> None:
    before = texture.copy()
    result = anonymise(texture, np.float32([[40, 30, 80, 90]]), method, margin=0.0)
    assert np.array_equal(texture, before)
    assert result[30:90, 40:80].std() < 0.25 * texture[30:90, 40:80].std()
    assert abs(float(result[30:90, 40:80].mean()) - float(texture[30:90, 40:80].mean())) < 4
    result[30:90, 40:80] = texture[30:90, 40:80]
    assert np.array_equal(result, texture)


@pytest.mark.parametrize("method", ["blur", "pixelate"])
def test_no_more_than_a_few_cells_are_left_whatever_the_size_of_the_box(method: PrivacyMethod) -> None:
    """What is left of a box depends on its cells only: pictures with equal cell averages look the same."""
    cells = np.random.default_rng(2).integers(60, 190, (6, 6, 3)).astype(np.int16)
    smooth = np.kron(cells, np.ones((20, 20, 1), np.int16))
    rows, columns = np.indices((120, 120))
    secret = np.where((rows + columns) % 2, 60, -60)[..., None]  # averages to nothing in every cell
    boxes = np.float32([[0, 0, 120, 120]])
    hidden = anonymise((smooth + secret).astype(np.uint8), boxes, method, margin=0.0)
    plain = anonymise(smooth.astype(np.uint8), boxes, method, margin=0.0)
    assert np.abs(hidden.astype(int) - plain.astype(int)).max() <= 1


def test_margin_enlarges_the_box(texture: ImageArray) -> None:
    changed = anonymise(texture, np.float32([[40, 30, 80, 90]]), "pixelate", margin=0.5) != texture
    rows, columns = np.flatnonzero(changed.any(axis=(1, 2))), np.flatnonzero(changed.any(axis=(0, 2)))
    assert (columns[0], columns[-1]) == (20, 99)
    assert (rows[0], rows[-1]) == (0, 119)


def test_none_is_a_copy(texture: ImageArray) -> None:
    result = anonymise(texture, np.float32([[0, 0, 160, 120]]), "none")
    assert np.array_equal(result, texture)
    assert result is not texture


def test_boxes_of_another_shape_are_refused(texture: ImageArray) -> None:
    with pytest.raises(ValueError, match=r"boxes: expected shape \(N, 4\), got \(4,\)"):
        anonymise(texture, np.float32([0, 0, 1, 1]))


@given(arrays(np.float32, st.tuples(st.integers(0, 5), st.just(4)), elements=st.floats(width=32)))
def test_any_boxes_give_a_picture_of_the_same_size(boxes: np.ndarray) -> None:
    image = np.full((12, 16, 3), 7, np.uint8)
    with np.errstate(all="ignore"):
        assert np.array_equal(anonymise(image, boxes), image)
