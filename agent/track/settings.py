"""The section `tracker` of the configuration."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

from pydantic import Field, field_validator, model_validator

from agent.settings import Fraction, Seconds, Section

PositiveFloat = Annotated[float, Field(gt=0)]
PositiveSeconds = Annotated[float, Field(gt=0)]


class TrackerSettings(Section):
    """How detections become tracks. The defaults are meant to be kept; each field says what changing it does.

    Distances and noises are in box heights, durations in seconds, so that neither the resolution nor the
    frame rate of a camera asks for other values.
    """

    motion: Literal["kalman", "lstm", "auto"] = "auto"
    """How lost tracks move on. "kalman": constant velocity, damped. "lstm": the motion model corrects that
    forecast, and it is an error if there is none. "auto": the motion model where there is one."""
    motion_model: Path | None = None
    """The motion model's `.tflite`; left out: the one that ships."""
    across_classes: bool = False
    """False: a track takes only detections of its own class. True: it takes any, and its label is the one
    its detections voted for; for detectors that waver between classes."""

    appearance: Literal["off", "shipped"] | Path = "off"
    """Whether tracks are also told apart by their looks: "off", "shipped" for the embedding model that ships,
    or another one's `.tflite`, its ModelSpec beside it. Costs time where tracks meet or are lost; `replay
    --retrack` goes without, since recordings hold no pictures."""
    appearance_weight: Annotated[float, Field(ge=0.0, le=4.0)] = 0.1
    """Weight of the looks' cosine where a detection could belong to several tracks; 0 is off."""
    appearance_min_cosine: Fraction = 0.7
    """Least cosine of a lost track and a new detection near it that is taken for the same object."""

    learn_scores: bool = True
    """Bring scores to the scale of the levels below, on which a sure detection has 0.99: by the quantiles in
    the detector's ModelSpec where it has them, else by the detections seen so far. False: the levels are
    compared with the detector's own scores."""
    high_score: Fraction = 0.7
    """Detections from this score up are matched first, with every track."""
    low_score: Fraction = 0.5
    """Detections below this score are ignored; those between it and `high_score` only continue tracks
    that were seen within `recent_s`. Lower keeps occluded objects, at the price of false matches."""
    birth_score: Fraction = 0.94
    """Only detections from this score up start a track. Lower finds objects sooner and more false ones."""

    min_iou_high: Fraction = 0.42
    """Least buffered IoU of a track and a detection in the first stage."""
    min_iou_again: Fraction = 0.36
    """The same in the second stage: what the first left over, after the camera's shift is compensated."""
    min_iou_low: Fraction = 0.40
    """The same in the third stage: detections of low score."""
    box_buffer: Annotated[float, Field(ge=1.0, le=4.0)] = 1.15
    """Boxes are enlarged by this factor before their IoU is taken, so that small and fast objects still
    overlap. Higher bridges larger jumps and confuses neighbours."""
    box_buffer_per_s: Annotated[float, Field(ge=0.0, le=20.0)] = 3.0
    """What a second between two frames adds to that factor: the longer the step, the farther an object is
    from where it was expected. No more than for half a second."""
    height_weight: Annotated[float, Field(ge=0.0, le=4.0)] = 0.75
    """Weight of the height cue: how much differing vertical extents speak against a pair; 0 is off."""
    lost_weight: Annotated[float, Field(ge=0.0, le=4.0)] = 0.3
    """Weight of the time since a track was seen against it, in full from `lost_weight_after_s`; 0 is off."""
    lost_weight_after_s: PositiveSeconds = 1.5
    """After how many seconds without a detection `lost_weight` counts in full."""
    recent_s: Seconds = 0.5
    """Detections of low score continue tracks that were seen within so many seconds."""

    compensate_camera: bool = True
    """Estimate the camera's shift from what the tracks did together, and move all tracks by it. No pictures
    are needed; costs about 20 µs a frame."""

    birth_max_iou: Fraction = 0.6
    """A detection that overlaps a matched track by more than this IoU starts no track: it is a duplicate."""
    confirm_hits: Annotated[int, Field(ge=1, le=100)] = 2
    """Detections that a track needs before it is confirmed. 1 reports at once, and false ones with it."""
    tentative_s: Seconds = 0.15
    """A track that is not yet confirmed and was not seen for longer than this is removed."""
    lost_s: Seconds = 1.8
    """A confirmed track that was not seen for longer than this is removed, also when no frames came
    meanwhile. Longer survives longer occlusions, at the price of old tracks that take over new objects."""
    border: Annotated[float, Field(ge=0.0, le=0.5)] = 0.02
    """Width of the picture's border, as a fraction of its width and height; tracks lost there have probably
    left. Used where the frame's size is known."""
    border_ageing: Annotated[float, Field(ge=1.0, le=100.0)] = 4.5
    """How much faster tracks that were lost at the border are given up."""

    position_noise: PositiveFloat = 0.05
    """Standard deviation of a detection's centre, in box heights."""
    size_noise: PositiveFloat = 0.1
    """Standard deviation of a detection's width and height, in box heights."""
    acceleration_noise: PositiveFloat = 0.25
    """How fast velocities change: root of the spectral density of acceleration, in box heights / s^1.5.
    Higher follows turns sooner and smooths less."""
    size_acceleration_noise: PositiveFloat = 0.1
    """The same of the width and height."""
    initial_speed: PositiveFloat = 0.5
    """Standard deviation of a new track's velocity, in box heights / s."""
    score_noise: Annotated[float, Field(ge=0.0, le=100.0)] = 0.0
    """How much less a weak detection counts: its noise is multiplied by 1 + score_noise × (1 - score)."""
    lost_damping_s: PositiveSeconds = 2.0
    """The velocity of a lost track falls to 37 % in this time."""
    centre_blend: Fraction = 0.44
    """Share of the detection in the reported centre of a matched track; the rest is the filter's."""
    size_blend: Fraction = 0.30
    """Share of the detection in the reported width and height of a matched track."""

    @field_validator("appearance", mode="before")
    @classmethod
    def _off(cls, value: object) -> object:
        """YAML reads a bare `off` as false."""
        return "off" if value is False else value

    @model_validator(mode="after")
    def _check(self) -> TrackerSettings:
        if not self.low_score <= self.high_score <= self.birth_score:
            raise ValueError(
                "expected low_score <= high_score <= birth_score, got "
                f"{self.low_score:g}, {self.high_score:g}, {self.birth_score:g}"
            )
        return self
