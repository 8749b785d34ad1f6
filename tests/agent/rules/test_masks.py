from __future__ import annotations

import numpy as np
import pytest

from agent.errors import ConfigError
from agent.records import Detections
from agent.rules.masks import DetectionMasks
from agent.rules.scene_settings import Mask

TREE = Mask.model_validate({"points": [[0.0, 0.0], [0.5, 0.0], [0.5, 0.5], [0.0, 0.5]]})


def detections(*feet: tuple[float, float]) -> Detections:
    boxes = np.array([[x - 5, y - 20, x + 5, y] for x, y in feet], np.float32).reshape(-1, 4)
    return Detections(boxes, np.ones(len(feet), np.float32), np.arange(len(feet), dtype=np.int64) % 2)


def test_detections_in_a_mask_are_left_out_its_edge_included() -> None:
    masks = DetectionMasks({"tree": TREE}, ("person", "car"))
    seen = detections((20, 30), (50, 50), (51, 50), (20, 51), (90, 90))
    assert masks.apply(seen, (100, 100)).boxes[:, 3].tolist() == [50, 51, 90]


def test_a_mask_of_one_class_leaves_the_others() -> None:
    masks = DetectionMasks({"tree": TREE.model_copy(update={"labels": ("car",)})}, ("person", "car"))
    assert masks.apply(detections((20, 30), (30, 30)), (100, 100)).labels.tolist() == [0]


def test_the_anchor_of_a_mask_may_be_the_center() -> None:
    masks = DetectionMasks({"tree": TREE.model_copy(update={"anchor": "center"})}, ())
    assert len(masks.apply(detections((20, 59), (20, 61)), (100, 100))) == 1


def test_feet_beyond_the_picture_count_as_on_its_edge() -> None:
    low = Mask.model_validate({"points": [[0.0, 0.8], [1.0, 0.8], [1.0, 1.0], [0.0, 1.0]]})
    assert len(DetectionMasks({"low": low}, ()).apply(detections((50, 104)), (100, 100))) == 0


def test_without_masks_or_detections_nothing_is_copied() -> None:
    seen = detections((20, 30))
    assert DetectionMasks({}, ()).apply(seen, (100, 100)) is seen
    assert len(DetectionMasks({"tree": TREE}, ()).apply(detections(), (100, 100))) == 0


def test_an_unknown_class_is_refused() -> None:
    with pytest.raises(ConfigError, match=r"mask tree labels: .*'bird'"):
        DetectionMasks({"tree": TREE.model_copy(update={"labels": ("bird",)})}, ("person",))
