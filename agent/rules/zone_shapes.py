"""The zones of a camera as shapes in picture heights, asked for all objects at once."""

from __future__ import annotations

import itertools
from collections.abc import Mapping, Sequence

import numpy as np

from agent.geometry.difference import difference
from agent.geometry.polygons import Float64Array, PolygonSet
from agent.records import BoolArray, IntArray
from agent.rules.scene_settings import Zone


class ZoneShapes:
    """Zones that look at the same point of an object, with their exclusions.

    Args:
        zones: all of the camera, by name.
        rows: those to look at, among `zones`.
        aspect: the picture's width in picture heights.
    """

    def __init__(self, zones: Mapping[str, Zone], rows: IntArray, aspect: float) -> None:
        names = tuple(zones)
        self.rows = rows
        self._limits = np.array([aspect, 1.0])
        shown = [names[row] for row in rows.tolist()]
        self._cut: list[list[int]] = []
        for name in list(shown):
            cut: list[int] = []
            for other in zones[name].exclude:
                cut.append(len(shown))
                shown.append(other)
            self._cut.append(cut)
        self._polygons = PolygonSet([np.array(zones[name].points) * self._limits for name in shown])
        zone_of = list(range(len(rows)))
        for zone, cut in enumerate(self._cut):
            zone_of += [zone] * len(cut)
        self._zone_of_side = (
            np.array(zone_of, np.int64)[self._polygons.owners] if len(rows) else np.zeros(0, np.int64)
        )
        self._has_cuts = any(self._cut)

    def on_picture(self, places: Float64Array) -> Float64Array:
        """Places (n, 2) beyond the picture's edge, moved onto it."""
        clipped: Float64Array = np.minimum(np.maximum(places, 0.0), self._limits)
        return clipped

    def turns(self, places: Float64Array) -> Float64Array:
        """(E, n) on which side of each side each place lies; see `PolygonSet.turns`."""
        return self._polygons.turns(places)

    def hold(self, places: Float64Array, turns: Float64Array | None = None) -> BoolArray:
        """(rows, n) whether each zone holds each place, its exclusions cut out."""
        within = self._polygons.contains(places, turns)
        held = within[: len(self.rows)]
        if self._has_cuts:
            for zone, cut in enumerate(self._cut):
                for other in cut:
                    held[zone] &= ~within[other]
        return held

    def crossed(self, flipped: BoolArray, starts: Float64Array, ends: Float64Array) -> BoolArray:
        """(rows, n) zones with a side, of their own or cut out, that each straight path meets.

        Args:
            flipped: (E, n) where `turns` changed its sign from start to end.
            starts, ends: (n, 2).
        """
        met = np.zeros((len(self.rows), len(starts)), np.bool_)
        sides, columns = np.nonzero(flipped)
        if len(sides):
            real = self._polygons.meets(sides, starts[columns], ends[columns])
            met[self._zone_of_side[sides[real]], columns[real]] = True
        return met

    def stretches(
        self, zone: int, start: tuple[float, float], end: tuple[float, float]
    ) -> list[tuple[float, bool]]:
        """How a straight path runs through one zone.

        Args:
            zone: index among `rows`.
            start, end: x and y of each, on the picture.

        Returns:
            (part of the way at which a stretch begins, whether it is inside), in order.
        """
        polygons = (zone, *self._cut[zone])
        cuts = [part for polygon in polygons for part in self._polygons.crossings(polygon, start, end)]
        borders = [0.0, *sorted(cuts), 1.0]
        found: list[tuple[float, bool]] = []
        for first, last in itertools.pairwise(borders):
            if last - first > 1e-9:
                middle = (first + last) / 2
                x = start[0] + middle * (end[0] - start[0])
                y = start[1] + middle * (end[1] - start[1])
                inside = self._polygons.holds(zone, x, y)
                inside = inside and not any(self._polygons.holds(other, x, y) for other in polygons[1:])
                found.append((first, inside))
        return found


class ZoneOverlaps:
    """Zones that look at the part of an object's box that they hold, their exclusions cut out.

    Args:
        zones: all of the camera, by name.
        rows: those to look at, among `zones`.
        aspect: the picture's width in picture heights.
    """

    def __init__(self, zones: Mapping[str, Zone], rows: IntArray, aspect: float) -> None:
        self._limits = np.array([aspect, 1.0])
        places = {name: np.array(zone.points) * self._limits for name, zone in zones.items()}
        shown = [name for row, name in enumerate(zones) if row in rows]
        pieces = [_left_of(places, name, zones[name].exclude) for name in shown]
        self._polygons = PolygonSet(list(itertools.chain.from_iterable(pieces)))
        owners = np.repeat(np.arange(len(shown)), [len(own) for own in pieces])
        self._owned = (np.arange(len(shown))[:, None] == owners).astype(np.float64)  # (rows, pieces)

    def parts(self, boxes: Float64Array) -> Float64Array:
        """(rows, n) part of each box, cut at the picture's edges, that lies in each zone.

        A box without area on the picture has no part in any.
        """
        boxes = np.clip(boxes, 0.0, np.tile(self._limits, 2))
        shared = self._owned @ self._polygons.overlap_areas(boxes)
        areas = (boxes[:, 2] - boxes[:, 0]) * (boxes[:, 3] - boxes[:, 1])
        parts: Float64Array = np.where(areas > 0, shared / np.where(areas > 0, areas, 1.0), 0.0)
        return parts


def _left_of(places: Mapping[str, Float64Array], name: str, exclude: Sequence[str]) -> list[Float64Array]:
    """What is left of a zone without its exclusions, in pieces."""
    return difference(places[name], [places[other] for other in exclude]) if exclude else [places[name]]
