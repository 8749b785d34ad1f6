"""One camera as the page sees it: its last frame while somebody looks, its tracks, its incidents."""

from __future__ import annotations

import json
import struct
from collections.abc import Collection
from typing import Any

import cv2
import numpy as np

from agent.config import CameraSettings
from agent.pipeline import CameraPipeline, Step
from agent.records import Alert, FloatArray, TrackState
from agent.rules.settings import rule_names
from agent.vision.privacy import PeopleFinder, anonymise
from agent.web.memory import IncidentMemory, TrackMemory
from agent.web.settings import WebSettings

_SHOWN = (TrackState.CONFIRMED, TrackState.LOST)


class CameraView:
    """An observer of one camera: keeps a few references a frame; pictures are made in others' threads.

    Args:
        name: of the camera.
        camera: its settings.
        pipeline: whose steps it is called with.
        web: the page's settings.
        people: class names that mean people.
        tracks, incidents: where to keep them.
    """

    def __init__(
        self,
        name: str,
        camera: CameraSettings,
        pipeline: CameraPipeline,
        web: WebSettings,
        people: Collection[str],
        tracks: TrackMemory,
        incidents: IncidentMemory,
    ) -> None:
        self.name = name
        self.camera = camera
        self.labels = pipeline.labels
        self.tracks = tracks
        self.watched = False
        """Whether somebody looks: only then is the last frame kept."""
        self.latest: Step | None = None
        self.rendered = 0
        """Pictures made so far."""
        self.size: tuple[int, int] | None = None
        """(width, height) in px of the last frame."""
        self._pipeline = pipeline
        self._web = web
        self._people = PeopleFinder(self.labels, people)
        self._incidents = incidents
        rules = zip(rule_names(camera.rules), camera.rules, strict=True)
        self._pictured = {rule for rule, settings in rules if settings.snapshot}

    def __call__(self, step: Step) -> None:
        self.tracks.add(step)
        self.size = step.frame.size
        if step.alerts:
            for alert in step.alerts:
                self._incidents.add(self.name, alert, self._picture_of(alert))
        if self.watched:
            self.latest = step

    def _picture_of(self, alert: Alert) -> Any:
        return self._pipeline.picture_of(alert) if alert.rule in self._pictured else None

    def render(self, step: Step) -> bytes:
        """A frame for the browser: 4 bytes of length, big-endian, so much JSON, then a JPEG.

        The JSON holds `camera`, `time_s`, `size` of the frame and `tracks`, whose boxes are fractions of it.
        """
        head = json.dumps(self._overlay(step), separators=(",", ":")).encode()
        self.rendered += 1
        return b"".join((struct.pack(">I", len(head)), head, self._jpeg(step)))

    def _jpeg(self, step: Step) -> bytes:
        image, web = step.frame.image, self._web
        scale = min(1.0, web.max_width / image.shape[1])
        if scale < 1.0:
            size = (web.max_width, max(1, round(image.shape[0] * scale)))
            image = np.asarray(cv2.resize(image, size, interpolation=cv2.INTER_AREA), dtype=np.uint8)
        if web.privacy != "none":
            tracks, detections = step.tracks, step.detections
            private = (
                tracks.boxes[self._people.rows(tracks.labels)],
                detections.boxes[self._people.rows(detections.labels)],
            )
            boxes: FloatArray = np.concatenate(private) * np.float32(scale)
            image = anonymise(image, boxes, web.privacy)
        done, encoded = cv2.imencode(".jpg", image, [cv2.IMWRITE_JPEG_QUALITY, web.quality])
        if not done:
            raise ValueError(f"live picture: expected a JPEG, got a fault for a picture of {image.shape}")
        return encoded.tobytes()

    def _overlay(self, step: Step) -> dict[str, Any]:
        tracks = step.tracks[np.isin(step.tracks.states, _SHOWN)]
        width, height = step.frame.size
        boxes = np.round(tracks.boxes / np.array([width, height, width, height]), 4).tolist()
        shown = [
            {
                "id": identity,
                "label": self.labels[label] if 0 <= label < len(self.labels) else str(label),
                "score": round(score, 2),
                "box": [round(side, 4) for side in box],
                "lost": state == TrackState.LOST,
            }
            for identity, label, score, box, state in zip(
                tracks.ids.tolist(),
                tracks.labels.tolist(),
                tracks.scores.tolist(),
                boxes,
                tracks.states.tolist(),
                strict=True,
            )
        ]
        return {
            "camera": self.name,
            "time_s": round(step.frame.time_s, 3),
            "size": [width, height],
            "tracks": shown,
        }

    def describe(self) -> dict[str, Any]:
        """What the page needs to know of the camera; nothing of its source, which may hold a password."""
        camera = self.camera
        rules = []
        for name, rule in zip(rule_names(camera.rules), camera.rules, strict=True):
            content = rule.model_dump(mode="json", exclude_defaults=True, exclude={"name"})
            rules.append({**content, "name": name, "places": list(rule.places)})
        return {
            "name": self.name,
            "live": camera.live,
            "labels": list(self.labels),
            "size": list(self.size) if self.size else None,
            "zones": _drawn(camera.zones),
            "tripwires": _drawn(camera.tripwires),
            "masks": _drawn(camera.masks),
            "rules": rules,
        }


def _drawn(places: Any) -> dict[str, Any]:
    return {name: place.model_dump(mode="json", exclude_defaults=True) for name, place in places.items()}
