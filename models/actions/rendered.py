"""Examples as a camera makes them: rendered scenes, a detector that looks at them, and its boxes tracked."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import numpy as np

from agent.detect.detector import open_detector
from agent.detect.settings import DetectorSettings
from agent.errors import DataError
from agent.records import Detections, Frame
from agent.track.settings import TrackerSettings
from models.actions.examples import ActionExamples, examples_of, joined
from models.actions.scenes import OPTIONS, action_scene, scene_boxes
from models.data.scene.render import Renderer, Scene

_FPS = (8.0, 10.0, 12.0)


def rendered_examples(
    scenes: int,
    seed: int,
    settings: DetectorSettings,
    *,
    every: int = 1,
    on_scene: Callable[[], None] | None = None,
) -> ActionExamples:
    """Examples of scenes that are rendered, detected and tracked.

    Args:
        scenes: how many.
        seed: of the first; the others follow it.
        settings: of the detector; a model that knows people, or motion.
        every: only each n-th moment of a track.
        on_scene: called after each scene.

    Raises:
        ModelError, ConfigError: the detector.
        DataError: its classes hold no people.
    """
    parts = []
    for number in range(seed, seed + scenes):
        rng = np.random.default_rng([number, 6])
        scene, fps = action_scene(number), float(rng.choice(_FPS))
        frames, tracker = _detected(scene, fps, settings)
        parts.append(
            examples_of(frames, scene_boxes(scene, OPTIONS.duration_s), every=every, tracker=tracker)
        )
        if on_scene is not None:
            on_scene()
    return joined(parts)


def _detected(
    scene: Scene, fps: float, settings: DetectorSettings
) -> tuple[Iterator[tuple[float, Detections]], TrackerSettings]:
    """What a detector finds in the frames of a scene, and the tracker that suits its scores."""
    detector = open_detector(settings)
    if "person" in detector.labels:
        wanted = detector.labels.index("person")
    elif settings.kind == "motion":
        wanted = 0
    else:
        raise DataError("detector", f"expected a class person, got {', '.join(detector.labels)}")
    low, high, birth = detector.score_levels
    tracker = TrackerSettings(
        motion="kalman", learn_scores=False, low_score=low, high_score=high, birth_score=birth
    )

    def frames() -> Iterator[tuple[float, Detections]]:
        for index, shot in enumerate(Renderer(scene).frames(OPTIONS.duration_s, fps)):
            prepared = detector.prepare(Frame(shot.image, shot.truth.time_s, shot.truth.time_s, index))
            detector.invoke(prepared)
            found = detector.decode(prepared)
            yield shot.truth.time_s, found[found.labels == wanted]
        detector.close()

    return frames(), tracker
