"""The rules as a user writes them, one section per kind."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field, model_validator

from agent.rules.schedule_settings import Schedule
from agent.settings import Fraction, Name, Point, Seconds, Section

Positive = Annotated[float, Field(gt=0.0)]
Count = Annotated[int, Field(ge=1)]
Direction = Literal["a-to-b", "b-to-a", "both"]


class RuleBase(Section):
    """What every rule has."""

    name: Name | None = None
    """Stands in alerts and topics; derived from kind and place when left out."""
    labels: tuple[str, ...] = ()
    """Only objects of these classes; empty: all."""
    min_score: Fraction = 0.0
    """Only objects whose best score so far is at least this."""
    min_age_s: Seconds = 0.0
    """Only objects known for at least this long. What happened before is told once they are."""
    actions: tuple[str, ...] = ()
    """Only objects that do one of these at that moment (walk, run, stand, fall, loiter); empty: whatever they
    do. The camera then needs `actions`."""
    min_action_score: Fraction = 0.5
    """Least score of that action."""
    min_area: Fraction = 0.0
    """Only objects whose box covers at least this part of the picture at that moment."""
    max_area: Fraction = 1.0
    """Only objects whose box covers at most this part of the picture at that moment."""
    armed: bool = True
    """Whether the rule is on duty before anyone arms or disarms it. A command that says otherwise outlasts
    restarts, until another command or this setting says the same."""
    schedule: Schedule | None = None
    """When the rule is on duty; None: always."""
    cooldown_s: Seconds = 0.0
    """After an alert, no new incident of the same kind for this long."""
    cooldown_per: Literal["rule", "track", "zone"] = "rule"
    """What the cooldown silences: the whole rule, only the track, or all such rules of the same zone."""
    update_every_s: Annotated[float, Field(ge=1.0)] | None = None
    """While an incident lasts, tell of it again this often; None: only of its start and end."""

    snapshot: bool = False
    """Whether its alerts come with a picture: the best one of the object so far, anonymised as `snapshots`
    says."""

    @model_validator(mode="after")
    def _check_areas(self) -> RuleBase:
        if self.min_area > self.max_area:
            raise ValueError(
                f"min_area: expected at most max_area ({self.max_area:g}), got {self.min_area:g}"
            )
        return self

    @property
    def places(self) -> tuple[str, ...]:
        """Names of the zones and tripwires that it refers to."""
        names = (getattr(self, "zone", None), getattr(self, "tripwire", None), *getattr(self, "zones", ()))
        return tuple(name for name in names if name is not None)


class ZoneRule(RuleBase):
    """Objects that enter, leave or are inside a zone."""

    kind: Literal["zone"]
    zone: Name
    """Name of a zone of this camera."""
    when: tuple[Literal["enter", "leave", "inside"], ...] = Field(default=("enter",), min_length=1)
    """`enter` and `leave` tell of the moment; `inside` is an incident from entering to leaving."""
    appearing: bool = True
    """Whether an object that is first seen inside has entered."""
    vanishing: bool = True
    """Whether an object that is last seen inside has left."""


class TripwireRule(RuleBase):
    """Objects that cross a tripwire."""

    kind: Literal["tripwire"]
    tripwire: Name
    """Name of a tripwire of this camera."""
    direction: Direction = "both"
    """From which side to which; see the tripwire's own notes."""


class DwellRule(RuleBase):
    """Objects that stay in a zone: loitering."""

    kind: Literal["dwell"]
    zone: Name
    """Name of a zone of this camera."""
    min_s: Positive
    """How long, occlusions included."""


class OccupancyRule(RuleBase):
    """More, or fewer, objects in a zone than expected."""

    kind: Literal["occupancy"]
    zone: Name
    """Name of a zone of this camera."""
    above: Annotated[int, Field(ge=0)] | None = None
    """An incident while more than this many are inside."""
    below: Count | None = None
    """An incident while fewer than this many are inside."""
    for_s: Seconds = 1.0
    """It begins once this held for so long without a break …"""
    clear_s: Seconds = 2.0
    """… and ends once it did not for so long without a break."""

    @model_validator(mode="after")
    def _check(self) -> OccupancyRule:
        if (self.above is None) == (self.below is None):
            raise ValueError(
                "expected either above or below, got " + ("neither" if self.above is None else "both")
            )
        return self


class CrowdRule(RuleBase):
    """Objects that stand close together."""

    kind: Literal["crowd"]
    zone: Name | None = None
    """Only objects inside this zone; None: in the whole picture."""
    min_count: Annotated[int, Field(ge=2)]
    """How many make a crowd."""
    max_gap: Positive = 1.0
    """Neighbours are close when their feet are at most this far apart, in heights of the taller one's box."""
    for_s: Seconds = 1.0
    """It begins once it stood for so long without a break …"""
    clear_s: Seconds = 2.0
    """… and ends once it did not for so long without a break."""


class WrongWayRule(RuleBase):
    """Objects that travel against the way they should."""

    kind: Literal["wrong-way"]
    zone: Name | None = None
    """Only inside this zone; None: in the whole picture."""
    allowed: tuple[Point, Point]
    """An arrow in the picture from its first point to its second: the way that is right."""
    tolerance_deg: Annotated[float, Field(gt=0.0, lt=180.0)] = 90.0
    """How far from the arrow, to either side, is still right."""
    window_s: Annotated[float, Field(ge=0.2, le=10.0)] = 1.0
    """The way is that of the last so many seconds …"""
    min_travel: Positive = 0.5
    """… in which the object moved by at least this part of its own size (square root of its box's area)."""
    for_s: Seconds = 0.5
    """It begins once it travelled the wrong way for so long without a break …"""
    clear_s: Seconds = 1.0
    """… and ends once it did not for so long without a break."""

    @model_validator(mode="after")
    def _check(self) -> WrongWayRule:
        if self.allowed[0] == self.allowed[1]:
            raise ValueError(f"allowed: expected two different points, got {list(self.allowed[0])} twice")
        return self


class SpeedRule(RuleBase):
    """Objects that are too fast."""

    kind: Literal["speed"]
    zone: Name | None = None
    """Only inside this zone; None: in the whole picture."""
    above_px_s: Positive | None = None
    """Speed in px of the picture per second."""
    above_m_s: Positive | None = None
    """Speed over ground in m/s; the camera then needs `ground`."""
    window_s: Annotated[float, Field(ge=0.2, le=10.0)] = 1.0
    """The speed is that over the last so many seconds."""
    for_s: Seconds = 0.0
    """It begins once it was that fast for so long without a break …"""
    clear_s: Seconds = 1.0
    """… and ends once it was not for so long without a break."""

    @model_validator(mode="after")
    def _check(self) -> SpeedRule:
        if (self.above_px_s is None) == (self.above_m_s is None):
            got = "neither" if self.above_px_s is None else "both"
            raise ValueError(f"expected either above_px_s or above_m_s, got {got}")
        return self


class _RestRule(RuleBase):
    zone: Name | None = None
    """Only inside this zone; None: in the whole picture."""
    min_s: Positive
    """How long."""
    max_move: Positive = 0.25
    """An object rests while its box's centre stays within this part of its own size (the square root of its
    box's area) of where it came to rest."""


class StoppedRule(_RestRule):
    """Objects that come to rest and stay: a parked car, someone who fell."""

    kind: Literal["stopped"]


class AbandonedRule(_RestRule):
    """Objects at rest whose owner has left them."""

    kind: Literal["abandoned"]
    owners: tuple[str, ...] = ("person",)
    """Classes that can own something."""
    owner_distance: Positive = 1.0
    """An owner is with its object while their boxes are at most this far apart, in heights of the owner."""


class RemovedRule(RuleBase):
    """Objects that were at rest and are taken away."""

    kind: Literal["removed"]
    zone: Name | None = None
    """Only objects that rested inside this zone; None: in the whole picture."""
    settled_s: Positive = 10.0
    """How long an object must have rested to be missed."""
    absent_s: Seconds = 5.0
    """How long it must be out of its place, or out of sight with nothing standing before it."""
    max_move: Positive = 0.25
    """As for the kind `stopped`."""


class SequenceRule(RuleBase):
    """Objects that go through zones in an order."""

    kind: Literal["sequence"]
    zones: tuple[Name, ...] = Field(min_length=2)
    """Names of zones of this camera, in order."""
    within_s: Positive
    """At most this long between being in one and entering the next."""


class LeftSceneRule(RuleBase):
    """Objects that are gone from the picture."""

    kind: Literal["left-scene"]
    edge_only: bool = False
    """True: only those last seen at the picture's edge, not those that vanish in the midst of it."""
    edge: Fraction = 0.05
    """How near its edge that is, as a part of the picture's height."""


AnyRule = Annotated[
    ZoneRule
    | TripwireRule
    | DwellRule
    | OccupancyRule
    | CrowdRule
    | WrongWayRule
    | SpeedRule
    | StoppedRule
    | AbandonedRule
    | RemovedRule
    | SequenceRule
    | LeftSceneRule,
    Field(discriminator="kind"),
]
