"""What a user draws into a camera's picture: zones, tripwires, masks and the ground plane."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

from pydantic import Field, field_validator, model_validator

from agent.settings import Fraction, Name, Point, Seconds, Section

AnchorName = Literal["bottom", "center", "overlap"]


def _polygon(points: tuple[Point, ...]) -> tuple[Point, ...]:
    """A polygon without a repeated last point, or a ValueError that says what is wrong with it."""
    if len(points) > 1 and points[0] == points[-1]:
        points = points[:-1]
    if len(points) < 3:
        raise ValueError(f"expected 3 or more [x, y] pairs in 0..1, got {len(points)}")
    for first in range(len(points)):
        if points[first] == points[first - 1]:
            raise ValueError(f"expected every point once in a row, got {list(points[first])} twice")
        for second in range(first + 2, len(points) - (first == 0)):
            if _touch(points, first, second):
                raise ValueError(
                    f"expected sides that do not cross, got side {first + 1} across side {second + 1}; "
                    "give the points in their order round the zone"
                )
    if all(_turn(points[0], points[1], point) == 0 for point in points[2:]):
        raise ValueError("expected a polygon with an area, got points on one line")
    return points


def _turn(a: Point, b: Point, c: Point) -> float:
    """Twice the signed area of the triangle a, b, c."""
    return (b[0] - a[0]) * (c[1] - a[1]) - (b[1] - a[1]) * (c[0] - a[0])


def _touch(points: Sequence[Point], first: int, second: int) -> bool:
    """Whether two sides of a polygon cross in their insides."""
    a, b = points[first], points[(first + 1) % len(points)]
    c, d = points[second], points[(second + 1) % len(points)]
    return _turn(a, b, c) * _turn(a, b, d) < 0 and _turn(c, d, a) * _turn(c, d, b) < 0


class Zone(Section):
    """An area of the picture; every side and corner belongs to it.

    An object is inside when its anchor is. Positions beyond the picture's edge count as on that edge, so a
    zone that reaches the edge holds an object that is cut by it.
    """

    points: tuple[Point, ...]
    """Corners in order, as fractions of the picture's width and height from its top left."""
    anchor: AnchorName = "bottom"
    """Which part of an object must be inside: `bottom` (middle of the box's lower side: the feet), `center`,
    or `overlap` (the part `min_overlap` of the box's area)."""
    min_overlap: Fraction = 0.5
    """Part of an object's box that must be inside; for the anchor `overlap` only."""
    exclude: tuple[Name, ...] = ()
    """Zones that are cut out of this one."""
    enter_after_s: Seconds = 0.0
    """An object has entered once it was inside for this long without a break."""
    leave_after_s: Seconds = 0.5
    """An object has left once it was outside for this long without a break; jitter is no leaving."""

    @field_validator("points")
    @classmethod
    def _check_points(cls, points: tuple[Point, ...]) -> tuple[Point, ...]:
        return _polygon(points)

    @model_validator(mode="after")
    def _check(self) -> Zone:
        if "min_overlap" in self.model_fields_set and self.anchor != "overlap":
            raise ValueError(f"min_overlap: expected anchor: overlap beside it, got anchor: {self.anchor}")
        if self.min_overlap == 0:
            raise ValueError("min_overlap: expected more than 0, got 0")
        return self


class Tripwire(Section):
    """A line across which objects are counted.

    Walk along it on the screen from the first point to the second: side A is at your left hand, side B at
    your right. So a line drawn from left to right has A above and B below it, and one drawn from top to
    bottom has A at the right and B at the left of the picture. `a-to-b` is a crossing from side A to side B.
    """

    points: tuple[Point, ...]
    """The two ends, as fractions of the picture's width and height from its top left."""
    anchor: Literal["bottom", "center"] = "bottom"
    """Which part of an object crosses: `bottom` (middle of the box's lower side: the feet) or `center`."""
    margin: float = Field(default=0.1, ge=0.0, le=2.0)
    """How far beyond the line an object must come to have crossed it, as a part of its own size (the square
    root of its box's area): an object that stands on the line is not counted again and again."""
    settle_s: Seconds = 0.5
    """An object has crossed once so long has passed since it was on the line and it has not gone back: a box
    that leaps over the line and back is no crossing. Crossings are told no more than this later."""
    strict: bool = False
    """True: an object must have been that far on the other side before. False: it may also appear or vanish
    nearer to the line."""

    @field_validator("points")
    @classmethod
    def _check_points(cls, points: tuple[Point, ...]) -> tuple[Point, ...]:
        if len(points) != 2:
            raise ValueError(f"expected 2 [x, y] pairs in 0..1, got {len(points)}")
        if points[0] == points[1]:
            raise ValueError(f"expected two different points, got {list(points[0])} twice")
        return points


class Mask(Section):
    """An area in which detections are ignored: a swaying tree, a television, the neighbour's garden."""

    points: tuple[Point, ...]
    """Corners in order, as fractions of the picture's width and height from its top left."""
    anchor: Literal["bottom", "center"] = "bottom"
    """A detection is ignored when this part of it is inside."""
    labels: tuple[str, ...] = ()
    """Only these classes are ignored; empty: all."""

    @field_validator("points")
    @classmethod
    def _check_points(cls, points: tuple[Point, ...]) -> tuple[Point, ...]:
        return _polygon(points)


class Ground(Section):
    """Four points of the ground whose places are known: what speeds in m/s need."""

    points: tuple[Point, ...]
    """Four points in the picture, no three on one line."""
    metres: tuple[tuple[float, float], ...]
    """Where the same four lie on the ground, in metres, from any origin."""

    @model_validator(mode="after")
    def _check(self) -> Ground:
        for name, points in (("points", self.points), ("metres", self.metres)):
            if len(points) != 4:
                raise ValueError(f"{name}: expected 4 [x, y] pairs, got {len(points)}")
            for left_out in range(4):
                a, b, c = (point for index, point in enumerate(points) if index != left_out)
                if abs(_turn(a, b, c)) < 1e-9:
                    raise ValueError(
                        f"{name}: expected no three on one line, got {[list(p) for p in (a, b, c)]}"
                    )
        return self
