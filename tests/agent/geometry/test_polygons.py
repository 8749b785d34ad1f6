from __future__ import annotations

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from agent.geometry.polygons import PolygonSet

SQUARE = [[0.0, 0.0], [1.0, 0.0], [1.0, 1.0], [0.0, 1.0]]
HORSESHOE = [[0, 0], [3, 0], [3, 3], [2, 3], [2, 1], [1, 1], [1, 3], [0, 3]]

few = settings(max_examples=40, deadline=None)


def naive_contains(polygon: np.ndarray, x: float, y: float) -> bool:
    """Winding number by adding up angles: another way than the module's."""
    total = 0.0
    for (ax, ay), (bx, by) in zip(polygon, np.roll(polygon, -1, axis=0), strict=True):
        first, second = np.arctan2(ay - y, ax - x), np.arctan2(by - y, bx - x)
        total += (second - first + np.pi) % (2 * np.pi) - np.pi
    return bool(abs(total) > np.pi)


def distance_to_sides(polygon: np.ndarray, point: np.ndarray) -> float:
    nearest = np.inf
    for a, b in zip(polygon, np.roll(polygon, -1, axis=0), strict=True):
        part = np.clip((point - a) @ (b - a) / ((b - a) @ (b - a)), 0, 1)
        nearest = min(nearest, float(np.hypot(*(point - a - part * (b - a)))))
    return nearest


@st.composite
def polygons(draw: st.DrawFn) -> np.ndarray:
    """Star-shaped, so simple, often concave; either orientation."""
    corners = draw(st.integers(3, 9))
    radii = draw(st.lists(st.floats(0.1, 1.0), min_size=corners, max_size=corners))
    turn = draw(st.floats(0, 6.28))
    angles = turn + 2 * np.pi * np.arange(corners) / corners
    points = np.stack((np.cos(angles), np.sin(angles)), axis=1) * np.array(radii)[:, None]
    return points[::-1] if draw(st.booleans()) else points


coordinates = st.floats(-1.5, 1.5)


@few
@given(polygons(), st.lists(st.tuples(coordinates, coordinates), min_size=1, max_size=20))
def test_contains_agrees_with_winding_number(polygon: np.ndarray, points: list[tuple[float, float]]) -> None:
    far = [point for point in points if distance_to_sides(polygon, np.array(point)) > 1e-6]
    found = PolygonSet([SQUARE, polygon]).contains(np.array(far).reshape(-1, 2))[1]
    assert found.tolist() == [naive_contains(polygon, x, y) for x, y in far]


@few
@given(
    polygons(), st.floats(0, 1), st.floats(0.01, 100), st.tuples(st.floats(-100, 100), st.floats(-100, 100))
)
def test_contains_holds_points_on_sides_and_corners_at_any_scale_and_place(
    polygon: np.ndarray, part: float, scale: float, shift: tuple[float, float]
) -> None:
    placed = polygon * scale + shift
    sides = np.roll(placed, -1, axis=0) - placed
    on_sides = placed + part * sides
    assert PolygonSet([placed]).contains(np.concatenate((placed, on_sides))).all()


@few
@given(polygons(), coordinates, coordinates, st.floats(0.01, 100), st.floats(-100, 100))
def test_contains_does_not_change_with_scale_and_translation(
    polygon: np.ndarray, x: float, y: float, scale: float, shift: float
) -> None:
    assume(distance_to_sides(polygon, np.array([x, y])) > 1e-6)
    before = PolygonSet([polygon]).contains(np.array([[x, y]]))
    after = PolygonSet([polygon * scale + shift]).contains(np.array([[x, y]]) * scale + shift)
    assert before.tolist() == after.tolist()


@few
@given(polygons(), coordinates, coordinates, st.floats(0, 1), st.integers(0, 11))
def test_holds_agrees_with_contains_on_the_sides_too(
    polygon: np.ndarray, x: float, y: float, part: float, side: int
) -> None:
    both, number = PolygonSet([polygon]), side % len(polygon)
    on_side = polygon[number] + part * (polygon[(number + 1) % len(polygon)] - polygon[number])
    assert both.holds(0, *on_side.tolist())
    assert both.holds(0, *polygon[number].tolist())
    assume(distance_to_sides(polygon, np.array([x, y])) > 1e-6)
    assert both.holds(0, x, y) == both.contains(np.array([[x, y]]))[0, 0]


def test_contains_in_a_concave_polygon_leaves_out_the_notch() -> None:
    points = np.array([[1.5, 2.0], [0.5, 2.0], [2.5, 2.0], [1.5, 0.5], [1.0, 2.0], [1.5, 3.0]])
    assert PolygonSet([HORSESHOE]).contains(points)[0].tolist() == [False, True, True, True, True, False]


def test_neighbouring_polygons_both_hold_their_common_side() -> None:
    right = [[1, 0], [2, 0], [2, 1], [1, 1]]
    assert PolygonSet([SQUARE, right]).contains(np.array([[1.0, 0.5]]))[:, 0].tolist() == [True, True]


@few
@given(polygons(), st.tuples(coordinates, coordinates), st.floats(0.05, 2), st.floats(0.05, 2))
def test_overlap_area_agrees_with_counting_a_fine_grid(
    polygon: np.ndarray, corner: tuple[float, float], width: float, height: float
) -> None:
    shapes = PolygonSet([polygon])
    x, y = corner
    grid = (np.arange(120) + 0.5) / 120
    points = np.stack(np.meshgrid(x + grid * width, y + grid * height), axis=-1).reshape(-1, 2)
    counted = shapes.contains(points)[0].mean() * width * height
    area = shapes.overlap_areas(np.array([[x, y, x + width, y + height]]))[0, 0]
    assert area == pytest.approx(counted, abs=0.03 * width * height)


@few
@given(polygons())
def test_overlap_with_a_box_around_it_is_the_whole_area(polygon: np.ndarray) -> None:
    shapes = PolygonSet([polygon])
    assert shapes.overlap_areas(np.array([[-5.0, -5.0, 5.0, 5.0]]))[0, 0] == pytest.approx(shapes.areas[0])


def test_overlap_with_an_empty_or_distant_box_is_nothing() -> None:
    boxes = np.array([[0.5, 0.5, 0.5, 0.9], [0.9, 0.9, 0.1, 0.1], [2.0, 2.0, 3.0, 3.0]])
    assert PolygonSet([SQUARE]).overlap_areas(boxes)[0].tolist() == [0.0, 0.0, 0.0]


@few
@given(polygons(), st.tuples(coordinates, coordinates), st.tuples(coordinates, coordinates))
def test_crossings_part_a_path_into_stretches_that_are_all_inside_or_all_outside(
    polygon: np.ndarray, start: tuple[float, float], end: tuple[float, float]
) -> None:
    shapes = PolygonSet([polygon])
    first, last = np.array(start), np.array(end)
    parts = shapes.crossings(0, start, end)
    samples = first + np.linspace(0, 1, 200)[:, None] * (last - first)
    far = [distance_to_sides(polygon, sample) > 1e-6 for sample in samples]
    held = shapes.contains(samples)[0]
    stretch = np.searchsorted(parts, np.linspace(0, 1, 200))
    for number in set(stretch.tolist()):
        assert len(set(held[(stretch == number) & far].tolist())) <= 1


@few
@given(polygons(), st.tuples(coordinates, coordinates), st.tuples(coordinates, coordinates))
def test_turns_and_meets_find_the_sides_that_a_path_crosses(
    polygon: np.ndarray, start: tuple[float, float], end: tuple[float, float]
) -> None:
    shapes = PolygonSet([polygon])
    first, last = np.array([start]), np.array([end])
    assume(np.hypot(*(last - first)[0]) > 1e-6)
    for corner in polygon:
        assume(distance_to_sides(np.concatenate((first, last)), corner) > 1e-6)
    for point in (first[0], last[0]):
        assume(distance_to_sides(polygon, point) > 1e-6)
    flipped = np.flatnonzero((shapes.turns(first) > 0) != (shapes.turns(last) > 0))
    met = shapes.meets(flipped, np.repeat(first, len(flipped), axis=0), np.repeat(last, len(flipped), axis=0))
    assert int(met.sum()) == len(shapes.crossings(0, start, end))


def test_no_polygons_and_no_points_give_empty_answers() -> None:
    none = PolygonSet([])
    assert none.contains(np.zeros((3, 2))).shape == (0, 3)
    assert none.overlap_areas(np.zeros((3, 4))).shape == (0, 3)
    assert PolygonSet([SQUARE]).contains(np.zeros((0, 2))).shape == (1, 0)


@pytest.mark.parametrize("wrong", [[[0, 0], [1, 1]], [[0, 0, 0], [1, 1, 1], [2, 2, 2]]])
def test_a_polygon_of_another_shape_is_refused(wrong: list[list[float]]) -> None:
    with pytest.raises(ValueError, match=r"polygon 1: expected shape \(3 or more, 2\)"):
        PolygonSet([SQUARE, wrong])
