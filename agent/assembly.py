"""The stages of one camera, built from its section of the configuration and joined."""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from functools import cache
from pathlib import Path

from ulid import ULID

from agent.actions.recognizer import ActionModel, ActionRecognizer
from agent.actions.settings import ActionSettings
from agent.alerts.schema import ModelPart
from agent.alerts.snapshot import SnapshotKeeper
from agent.capture.reader import FrameReader, SourceStatus
from agent.capture.source import Source, open_source
from agent.config import CameraSettings
from agent.detect.detector import Detector, Prepared, open_detector
from agent.detect.embedder import Embedder
from agent.detect.interpreter import Interpreter
from agent.detect.settings import DetectorSettings
from agent.errors import ModelError
from agent.pipeline import CameraPipeline
from agent.records import Alert, Frame
from agent.rules.conditions import check_label
from agent.rules.engine import RuleEngine
from agent.rules.masks import DetectionMasks
from agent.stage_times import StageTimes
from agent.track import Tracker
from agent.track.motion_lstm import MotionModel
from agent.track.settings import TrackerSettings
from agent.vision.model_spec import load_spec, spec_path

log = logging.getLogger("edgetrack")
_ARTEFACTS = Path(__file__).resolve().parent.parent / "models" / "artefacts"
_SHIPPED_MOTION_MODEL = _ARTEFACTS / "motion_lstm.tflite"
_SHIPPED_ACTION_MODEL = _ARTEFACTS / "action_lstm.tflite"
_SHIPPED_EMBEDDING = _ARTEFACTS / "appearance.tflite"


def build_pipeline(
    camera: str,
    settings: CameraSettings,
    *,
    publish: Callable[[Alert], object],
    on_status: Callable[[SourceStatus], None] | None = None,
    detector: Detector | None = None,
    open_camera: Callable[[], Source] | None = None,
    times: StageTimes | None = None,
    snapshots: SnapshotKeeper | None = None,
) -> CameraPipeline:
    """Open a camera's detector and join the stages; the source is opened by the reader's thread.

    Args:
        camera: its name.
        settings: its section.
        publish: takes each alert.
        on_status: told when the source is lost, frozen or back.
        detector: instead of the configured one, for several cameras that share a model.
        open_camera: opens another source than the configured one.
        times: receives the stages' durations.
        snapshots: keeps pictures for alerts.

    Raises:
        ModelError, ConfigError: a model, labels or rules that do not fit each other.
    """
    detector = detector or open_detector(settings.detector)
    actions = build_actions(settings.actions, detector.labels)
    times = times or StageTimes()
    opened = detector

    def prepare(frame: Frame) -> Prepared:
        with times.measure("letterbox"):
            return opened.prepare(frame)

    return CameraPipeline(
        camera,
        reader=FrameReader(
            open_camera or (lambda: open_source(settings)),
            settings,
            camera=camera,
            prepare=prepare,
            on_status=on_status,
            on_read=lambda duration_s: times.add("capture", duration_s),
        ),
        detector=detector,
        masks=DetectionMasks(settings.masks, detector.labels),
        tracker=build_tracker(settings.tracker, detector.score_levels),
        rules=RuleEngine(
            settings,
            labels=detector.labels,
            new_id=lambda: str(ULID()),
            actions=actions.labels if actions else (),
            blind_after_s=blind_after_s(settings),
        ),
        publish=publish,
        times=times,
        snapshots=snapshots,
        actions=actions,
    )


def blind_after_s(settings: CameraSettings) -> float:
    """For how long a camera may give nothing until no object could be known again, s."""
    return settings.tracker.lost_s + settings.rejoin_s


def build_actions(settings: ActionSettings | None, labels: Sequence[str]) -> ActionRecognizer | None:
    """What names the actions of tracks; None where nobody asked.

    Args:
        settings: the camera's section.
        labels: class names of the detector; empty when not known.

    Raises:
        ConfigError: the section names a class that the detector does not have.
        ModelError: the model is not there, or does not fit.
    """
    if settings is None:
        return None
    for label in settings.labels:
        check_label("actions.labels", label, labels)
    path = _SHIPPED_ACTION_MODEL if settings.model == "auto" else settings.model
    spec = load_spec(spec_path(path))
    if spec.task != "sequence" or not spec.labels:
        raise ModelError(
            str(spec_path(path)), f"expected a sequence model with labels, got one for {spec.task}"
        )
    model = ActionModel(Interpreter(path, threads=1), spec.labels)
    classes = [labels.index(label) for label in settings.labels if label in labels] or None
    return ActionRecognizer(model, classes, settings.memory_s)


def model_part(settings: DetectorSettings) -> ModelPart | None:
    """Name and version of a detector's model, as its alerts tell them; None where it has none.

    Raises:
        ModelError: its ModelSpec cannot be read.
    """
    if settings.model is None:
        return None
    path = settings.spec or spec_path(settings.model)
    if not path.exists():  # inferred from the file
        return ModelPart(name=settings.model.stem)
    spec = load_spec(path)
    return ModelPart(name=spec.name, version=spec.version)


def build_tracker(settings: TrackerSettings, score_levels: Sequence[float]) -> Tracker:
    """A tracker whose score levels are on the scale of the detector; what the user set stays.

    The levels that a detector states hold from the first frame, so there is nothing to learn of its scores.

    Args:
        settings: the camera's section.
        score_levels: of the detector; empty when not known.

    Raises:
        ModelError: the motion model or the embedding is not there, or does not fit.
    """
    names = ("low_score", "high_score", "birth_score")
    given = settings.model_dump(exclude_unset=True)
    if score_levels and not given.get("learn_scores"):
        own = dict(zip(names, score_levels, strict=True))
        settings = TrackerSettings.model_validate({"learn_scores": False, **own, **given})
    return Tracker(settings, motion_model=_motion_model(settings), embedder=_embedder(settings))


def _embedder(settings: TrackerSettings) -> Embedder | None:
    """What tells objects by their looks; None where nobody asked.

    Raises:
        ModelError: it is not there, does not fit, or nothing can run it.
    """
    if settings.appearance == "off":
        return None
    path = _SHIPPED_EMBEDDING if settings.appearance == "shipped" else settings.appearance
    return Embedder(path)


def _motion_model(settings: TrackerSettings) -> MotionModel | None:
    """The model that forecasts lost tracks: the configured one, or the one that ships.

    Raises:
        ModelError: one was asked for, and it is not there, does not fit, or nothing can run it.
    """
    if settings.motion == "kalman":
        return None
    path = settings.motion_model or _SHIPPED_MOTION_MODEL
    asked_for = settings.motion == "lstm" or settings.motion_model is not None
    if not asked_for and not path.is_file():
        return None
    try:
        return MotionModel(Interpreter(path, threads=1))
    except ModelError as error:
        if asked_for:
            raise
        _warn_once(f"{error}; tracks go on without the motion model")
        return None


@cache
def _warn_once(line: str) -> None:
    """However many cameras it concerns."""
    log.warning(line)
