"""Regions at a frame's own resolution: where they lie, how their boxes are joined, and what they find."""

from __future__ import annotations

import logging

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent.detect.detector import open_detector
from agent.detect.region_detector import RegionDetector
from agent.detect.region_merge import merge_views
from agent.detect.region_plan import RegionPlan, region_size, tiles
from agent.detect.settings import DetectorSettings
from agent.errors import ConfigError
from agent.records import Detections, Frame

FRAME = (1920, 1080)
SIDES = st.integers(64, 800)


def boxes(*rows: tuple[float, ...]) -> np.ndarray:
    return np.array(rows, np.float32).reshape(-1, 4)


def found(*rows: tuple[float, ...], scores: tuple[float, ...] = (), label: int = 0) -> Detections:
    scored = np.array(scores or (0.5,) * len(rows), np.float32)
    return Detections(boxes(*rows), scored, np.full(len(rows), label, np.int64))


def holds(region: np.ndarray, box: np.ndarray) -> bool:
    return bool((region[:2] <= box[:2]).all() and (box[2:] <= region[2:]).all())


# Where to look.


@given(st.integers(64, 2000), st.integers(64, 2000), SIDES, SIDES)
def test_tiles_cover_every_pixel_and_stay_within_the_frame(width, height, wide, high):
    size = min(wide, width), min(high, height)
    seen = np.zeros((height, width), np.bool_)
    for left, top, right, bottom in tiles((width, height), size):
        assert (right - left, bottom - top) == size
        assert left >= 0 and top >= 0 and right <= width and bottom <= height
        seen[top:bottom, left:right] = True
    assert seen.all()


def test_a_region_shows_the_frame_px_for_px_unless_it_is_enlarged():
    assert region_size((416, 416), FRAME, 1.0) == (416, 416)
    assert region_size((416, 416), FRAME, 2.0) == (208, 208)
    assert region_size((416, 416), (480, 360), 2.0) == (208, 208)
    assert region_size((416, 416), (640, 300), 1.0) == (416, 300)
    assert region_size((416, 416), (480, 360), 1.0) is None  # the whole frame shows nearly as much


def test_one_region_holds_neighbours_and_a_far_object_gets_the_next():
    plan = RegionPlan(FRAME, (416, 416), 4)
    near = boxes((100, 100, 120, 140), (300, 120, 320, 160), (200, 300, 220, 340))
    far = boxes((1800, 900, 1830, 960))
    regions = plan.around(np.concatenate([far, near]), 0.0)
    assert len(regions) == 2
    assert all(holds(regions[0], box) for box in near)
    assert holds(regions[1], far[0])


@given(
    st.lists(
        st.tuples(st.floats(0, 1900), st.floats(0, 1060), st.floats(1, 300), st.floats(1, 300)), max_size=9
    )
)
def test_regions_lie_within_the_frame_and_hold_every_target_that_fits(rows):
    targets = boxes(*((x, y, min(x + w, 1920), min(y + h, 1080)) for x, y, w, h in rows))
    regions = RegionPlan(FRAME, (416, 416), 9).around(targets, 0.0)
    for region in regions:
        assert (region[2:] - region[:2]).tolist() == [416, 416]
        assert holds(np.array([0, 0, *FRAME]), region)
    for target in targets:
        inner = target + np.array([0.51, 0.51, -0.51, -0.51])  # regions begin at whole pixels
        assert any(holds(region, inner) for region in regions)


def test_with_fewer_regions_than_needed_each_place_has_its_turn():
    plan = RegionPlan(FRAME, (416, 416), 1)
    targets = boxes((50, 50, 80, 90), (950, 500, 980, 540), (1800, 1000, 1830, 1040))
    visited = [plan.around(targets, 0.1 * n)[0] for n in range(6)]
    for half in (visited[:3], visited[3:]):
        assert sorted(next(n for n, box in enumerate(targets) if holds(region, box)) for region in half) == [
            0,
            1,
            2,
        ]


def test_objects_as_large_as_a_region_and_an_empty_scene_ask_for_none():
    plan = RegionPlan(FRAME, (416, 416), 4)
    assert len(plan.around(boxes((0, 0, 600, 900)), 0.0)) == 0
    assert len(plan.around(boxes(), 0.0)) == 0


@pytest.mark.parametrize("frame_size", [(1280, 720), (1920, 1080), (3840, 2160)])
@pytest.mark.parametrize("side", [320, 416, 640])
@pytest.mark.parametrize("max_regions", [1, 2, 4])
@pytest.mark.parametrize("period_s", [0.1, 5.0, 60.0])
def test_the_grid_is_walked_through_in_turn_round_after_round(frame_size, side, max_regions, period_s):
    plan, all_tiles = RegionPlan(frame_size, (side, side), max_regions), tiles(frame_size, (side, side))
    visited = {tuple(tile): -1 for tile in all_tiles.tolist()}
    round_length = -(-len(all_tiles) // max_regions)
    for n in range(4 * round_length):
        regions = plan.next_tiles(n * period_s)
        assert len(regions) == min(max_regions, len(all_tiles))
        visited |= dict.fromkeys(map(tuple, regions.tolist()), n)
        assert n - min(visited.values()) <= round_length


# One object, one box.


REGION = np.array([[100, 100, 300, 300]], np.int64)


def test_what_the_whole_frame_and_a_region_both_show_is_kept_once_with_the_better_score():
    whole, part = found((150, 150, 170, 190), scores=(0.4,)), found((151, 150, 171, 191), scores=(0.8,))
    merged = merge_views(whole, REGION, [part], FRAME)
    assert merged.scores.tolist() == pytest.approx([0.8])


def test_what_an_edge_cuts_yields_to_the_whole_object_although_its_score_is_better():
    whole, part = found((250, 150, 350, 250), scores=(0.4,)), found((250, 150, 299.5, 250), scores=(0.9,))
    merged = merge_views(whole, REGION, [part], FRAME)
    assert merged.boxes.tolist() == [[250, 150, 350, 250]]


def test_what_an_edge_cuts_stays_where_no_other_view_shows_it():
    merged = merge_views(found(), REGION, [found((280, 150, 300, 190))], FRAME)
    assert len(merged) == 1


def test_two_regions_that_each_show_a_part_give_one_box():
    regions = np.array([[0, 0, 200, 200], [180, 0, 380, 200]], np.int64)
    left, right = found((150, 50, 200, 150), scores=(0.8,)), found((180, 50, 240, 150), scores=(0.9,))
    merged = merge_views(found((150, 50, 240, 150), scores=(0.3,)), regions, [left, right], FRAME)
    assert merged.boxes.tolist() == [[150, 50, 240, 150]]


def test_the_edge_of_the_frame_cuts_nothing_that_a_region_could_lose():
    regions = np.array([[0, 0, 200, 200]], np.int64)
    whole, part = found((0, 50, 60, 150), scores=(0.3,)), found((0, 50, 40, 150), scores=(0.9,))
    assert merge_views(whole, regions, [part], FRAME).scores[0] == pytest.approx(0.9)


def test_a_child_before_an_adult_in_one_view_stays_two_objects():
    part = found((150, 150, 200, 290), (160, 220, 190, 290))
    assert len(merge_views(found(), REGION, [part], FRAME)) == 2
    assert len(merge_views(part, REGION, [part], FRAME)) == 2


def test_classes_are_kept_apart():
    merged = merge_views(found((150, 150, 170, 190)), REGION, [found((150, 150, 170, 190), label=1)], FRAME)
    assert sorted(merged.labels.tolist()) == [0, 1]


# The detector.


def settings(folder, **more) -> DetectorSettings:
    return DetectorSettings.model_validate({"model": folder / "bright.tflite", "threads": 1} | more)


def lamp(*places: tuple[int, int], time_s: float = 0.0) -> Frame:
    """640 x 640 px with lamps of 8 px, which is less than one of the 64 px that the model sees of it."""
    image = np.zeros((640, 640, 3), np.uint8)
    for x, y in places:
        image[y : y + 8, x : x + 8] = 255
    return Frame(image, time_s, 0.0, round(time_s * 10))


def test_a_grid_finds_in_a_single_picture_what_the_whole_frame_loses(small_models):
    picture = lamp((160, 240))  # at the corner of a cell of a tile that begins at a multiple of 8
    assert len(open_detector(settings(small_models)).detect(picture)) == 0
    detector = open_detector(settings(small_models, regions={"kind": "grid", "max_regions": 32, "zoom": 1.0}))
    counts = [len(detector.detect(lamp((160, 240), time_s=n / 10))) for n in range(8)]
    assert max(counts) >= 1


def test_boxes_of_regions_lie_in_px_of_the_frame(small_models):
    detector = open_detector(settings(small_models, regions={}))
    assert isinstance(detector, RegionDetector)
    prepared = detector.prepare(lamp((300, 420)))
    prepared.expected = boxes((300, 420, 308, 428))
    detector.invoke(prepared)
    place = prepared.parts[0][0]
    found_there = detector.decode(prepared)
    # The region is centred on the target, so its cells begin 4 px beside the lamp's: any cell may win.
    assert len(prepared.parts) == 0
    assert holds(place, np.array([300, 420, 308, 428]))
    assert all(holds(place, box) for box in found_there.boxes)


def test_an_empty_scene_runs_the_model_once_a_frame_and_a_moving_object_more_often(small_models):
    detector = open_detector(settings(small_models, regions={}, motion={"warm_up_s": 0.2}))
    regions = []
    for n in range(60):
        walker = [(6 * n + dx, 300 + dy) for dx in (0, 8) for dy in (0, 8, 16, 24)] if n >= 30 else []
        prepared = detector.prepare(lamp(*walker, time_s=n / 10))
        detector.invoke(prepared)
        regions.append(len(prepared.parts))
        detector.decode(prepared)
    assert sum(regions[:30]) == 0
    assert sum(count > 0 for count in regions[30:40]) >= 8


def test_unwanted_sizes_are_fractions_of_the_frame_and_not_of_the_region(small_models):
    part = 64 / 640**2
    for limits, count in (({"max_area": part / 2}, 0), ({"min_area": part / 2, "max_area": part * 2}, 1)):
        detector = open_detector(
            settings(small_models, regions={"kind": "grid", "max_regions": 32}, **limits)
        )
        best = max(len(detector.detect(lamp((0, 0), time_s=n / 10))) for n in range(8))
        assert best == count


def test_a_frame_hardly_larger_than_the_input_is_looked_at_once_and_that_is_said(small_models, lamps, caplog):
    detector = open_detector(settings(small_models, regions={"kind": "grid"}))
    with caplog.at_level(logging.WARNING):
        assert [len(detector.detect(lamps((1, 1), time_s=n))) for n in range(3)] == [1, 1, 1]
    assert len(caplog.messages) == 1
    assert "expected a frame much larger than the model's 64 x 64, got 64 x 64" in caplog.text


def test_a_recurrent_model_gets_no_regions(small_models):
    with pytest.raises(ConfigError, match=r"detector\.regions: expected a model without states"):
        open_detector(DetectorSettings(model=small_models / "slow.tflite", regions={}))


def test_a_gate_and_regions_use_one_background(small_models):
    detector = open_detector(settings(small_models, regions={}, gate={}))
    assert detector._finder is detector._detector._finder
    assert [len(detector.detect(lamp(time_s=n / 10))) for n in range(3)] == [0, 0, 0]


@pytest.mark.data
def test_small_people_are_found_that_the_whole_frame_loses(shared_data):
    from models.evaluate.annotations import read_image, read_yolo_folder
    from tests.bench.detect.regions import small_recall

    coco = shared_data / "coco"
    truth = read_yolo_folder(coco / "images" / "val2017", coco / "labels" / "val2017")
    chosen = [path for path, part in truth.items() if (part.labels == 0).sum() >= 12][:10]
    model = {
        "model": shared_data / "models" / "yolox_nano_float16_quantize.tflite",
        "labels_file": shared_data / "models" / "coco.names",
        "labels": ("person",),
    }
    recalls = []
    for more in ({}, {"regions": {"kind": "grid", "max_regions": 16}}):
        detector = open_detector(DetectorSettings.model_validate(model | more))
        people = {
            path: detector.detect(Frame(read_image(path), 10.0 * n, 0.0, n)) for n, path in enumerate(chosen)
        }
        recalls.append(small_recall({path: truth[path] for path in chosen}, people, 0)[0])
    assert recalls[1] > recalls[0] + 0.1
