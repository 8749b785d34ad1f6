"""Detections in masked areas, left out before they are tracked."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from agent.geometry.polygons import PolygonSet
from agent.records import Detections
from agent.rules.conditions import check_label
from agent.rules.scene_settings import Mask


class DetectionMasks:
    """The masks of one camera.

    A detection is left out when its anchor lies in a mask that names its class, or names none. Anchors beyond
    the picture's edge count as on that edge.

    Args:
        masks: by name.
        labels: class names of the model; empty when they are not known.

    Raises:
        ConfigError: a mask names a class that the model does not have.
    """

    def __init__(self, masks: Mapping[str, Mask], labels: Sequence[str]) -> None:
        for name, mask in masks.items():
            for label in mask.labels:
                check_label(f"mask {name} labels", label, labels)
        self._masks = tuple(masks.values())
        self._polygons = PolygonSet([mask.points for mask in self._masks])
        self._labels = tuple(
            np.array([row for row, label in enumerate(labels) if label in mask.labels], np.int64)
            for mask in self._masks
        )

    def apply(self, detections: Detections, frame_size: tuple[int, int]) -> Detections:
        """The detections that no mask covers.

        Args:
            detections: of one frame.
            frame_size: (width, height) in px that their boxes refer to.
        """
        if not self._masks or not len(detections):
            return detections
        boxes = detections.boxes.astype(np.float64)
        x = np.clip((boxes[:, 0] + boxes[:, 2]) / 2 / frame_size[0], 0.0, 1.0)
        bottom = np.clip(boxes[:, 3] / frame_size[1], 0.0, 1.0)
        center = np.clip((boxes[:, 1] + boxes[:, 3]) / 2 / frame_size[1], 0.0, 1.0)
        under = {
            "bottom": self._polygons.contains(np.stack((x, bottom), axis=1)),
            "center": self._polygons.contains(np.stack((x, center), axis=1)),
        }
        covered = np.zeros(len(detections), np.bool_)
        for row, (mask, rows) in enumerate(zip(self._masks, self._labels, strict=True)):
            concerned = np.isin(detections.labels, rows) if mask.labels else np.ones(len(covered), np.bool_)
            covered |= under[mask.anchor][row] & concerned
        return detections[~covered]
