from __future__ import annotations

import numpy as np
import pytest

from agent.capture.shape import PictureShape
from agent.errors import SourceError


def picture(width: int, height: int) -> np.ndarray:
    return np.zeros((height, width, 3), np.uint8)


def test_other_size_within_a_connection_is_a_fault_and_scaled_after_it(
    caplog: pytest.LogCaptureFixture,
) -> None:
    shape = PictureShape("front")
    assert shape.fit(picture(64, 48)).shape == (48, 64, 3)
    with pytest.raises(SourceError, match="expected 64×48 px as before, got 32×24 px"):
        shape.fit(picture(32, 24))
    shape.opened()
    assert shape.fit(picture(32, 24)).shape == (48, 64, 3)
    assert shape.fit(picture(32, 24)).shape == (48, 64, 3)
    assert [record.getMessage() for record in caplog.records] == [
        "camera front: expected 64×48 px as at the start, got 32×24 px; pictures are scaled"
    ]
    shape.opened()
    assert shape.fit(picture(64, 48)).shape == (48, 64, 3)


@pytest.mark.parametrize(
    "image",
    [
        np.zeros((48, 64), np.uint8),
        np.zeros((48, 64, 4), np.uint8),
        np.zeros((48, 64, 3), np.uint16),
        np.zeros((0, 64, 3), np.uint8),
    ],
)
def test_what_is_no_picture_is_a_fault(image: np.ndarray) -> None:
    with pytest.raises(SourceError, match="expected \\(H, W, 3\\) uint8"):
        PictureShape("front").fit(image)
