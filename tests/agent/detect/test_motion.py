"""The motion detector on drawn scenes whose truth is known, and on a real road."""

from __future__ import annotations

import cv2
import numpy as np
import pytest

from agent.detect.detector import open_detector
from agent.detect.motion import MotionFinder, join_parts
from agent.detect.settings import DetectorSettings, MotionSettings
from agent.geometry.boxes import iou_matrix
from agent.records import Detections, Frame

FPS = 10.0
SIZE = (320, 180)
RNG = np.random.default_rng(0)
GROUND = cv2.GaussianBlur(RNG.integers(60, 140, (SIZE[1], SIZE[0], 3), dtype=np.uint8), (9, 9), 0)


def frame(
    index: int, *boxes: tuple[int, int, int, int], gain: float = 1.0, colour: int = 230, sway: int = 0
) -> Frame:
    """The ground with bright boxes on it, sensor noise, and an exposure."""
    image = np.roll(GROUND, sway, axis=1).astype(np.float32)
    for left, top, right, bottom in boxes:
        image[top:bottom, left:right] = colour
    image = image * gain + np.random.default_rng(index).normal(0, 1.5, image.shape)
    return Frame(np.clip(image, 0, 255).astype(np.uint8), index / FPS, 0.0, index)


def run(frames: list[Frame], **motion: object) -> list[Detections]:
    detector = open_detector(DetectorSettings(kind="motion", motion=MotionSettings.model_validate(motion)))
    assert detector.labels == ("motion",)
    return [detector.detect(item) for item in frames]


def test_a_still_scene_holds_nothing():
    assert all(len(found) == 0 for found in run([frame(n) for n in range(40)]))


def test_moving_boxes_are_found_tightly_and_apart():
    def truth(n: int) -> list[tuple[int, int, int, int]]:
        return [(2 * n, 40, 2 * n + 40, 70), (250 - 2 * n, 100, 290 - 2 * n, 150)]

    for n, found in enumerate(run([frame(0)] * 10 + [frame(n, *truth(n)) for n in range(10, 60)])):
        if n >= 12:
            assert len(found) == 2
            ious = iou_matrix(np.float32(truth(n)), found.boxes)
            assert (ious.max(axis=1) > 0.85).all()
            assert (found.scores > 0.9).all()


def test_boxes_are_in_px_of_a_frame_that_is_reduced():
    def large(n: int) -> Frame:
        small = frame(n, *([(3 * n, 40, 3 * n + 50, 90)] if n > 10 else []))
        image = cv2.resize(small.image, (1280, 720), interpolation=cv2.INTER_NEAREST)
        return Frame(image, small.time_s, 0.0, n)

    found = run([large(n) for n in range(40)])[-1]
    assert iou_matrix(np.float32([[468, 160, 668, 360]]), found.boxes).max() > 0.85


def test_a_camera_that_darkens_for_a_bright_object_shows_only_the_object():
    """Auto exposure: a bright vehicle fills a part of the picture and all the rest loses half its light."""
    gains = np.concatenate([np.ones(20), np.linspace(1, 0.5, 8), np.full(12, 0.5), np.linspace(0.5, 1, 8)])
    frames = [
        frame(n, *([(100, 3 * n - 40, 170, 3 * n + 40)] if n >= 18 else []), gain=float(gain))
        for n, gain in enumerate(gains)
    ]
    for n, found in enumerate(run(frames)):
        if n < 18:
            assert len(found) == 0
        elif n >= 22:
            truth = np.float32([[100, max(3 * n - 40, 0), 170, min(3 * n + 40, SIZE[1])]])
            assert len(found) == 1, n
            assert iou_matrix(truth, found.boxes).max() > 0.7, n


def test_light_that_is_switched_is_no_object():
    frames = [frame(n, gain=1.0 if n < 15 else 0.35) for n in range(40)]
    assert sum(len(found) for found in run(frames)) == 0


def test_a_picture_that_changes_altogether_is_learnt_anew():
    other = np.ascontiguousarray(GROUND[::-1, ::-1])
    other[:, : SIZE[0] // 2] = 255 - other[:, : SIZE[0] // 2] // 2
    frames = [frame(n) for n in range(15)] + [Frame(other, n / FPS, 0.0, n) for n in range(15, 40)]
    found = run(frames, max_change=0.3)
    assert sum(len(part) for part in found[15:]) == 0


def test_a_camera_that_sways_moves_no_object():
    frames = [frame(n, sway=(0, 1, 0, -1)[n % 4] if n > 10 else 0) for n in range(50)]
    assert sum(len(found) for found in run(frames)) == 0


def test_what_stops_becomes_background_after_its_time_at_any_frame_rate():
    for fps in (5.0, 20.0):
        count = int(fps * 8)
        frames = [
            Frame(frame(n, *([(100, 60, 160, 120)] if n / fps > 1 else [])).image, n / fps, 0.0, n)
            for n in range(count)
        ]
        seen = [n / fps for n, found in enumerate(run(frames, absorb_s=3.0)) if len(found)]
        assert 1.0 < min(seen) < 1.5
        assert 3.0 < max(seen) < 5.5, fps


@pytest.mark.parametrize("gain", [0.6, 0.8, 1.0, 1.3])
def test_what_stops_becomes_background_in_its_time_also_after_a_lasting_change_of_exposure(gain):
    """The exposure changes at second 2, for good; something stops at second 8."""
    truth = np.float32([[100, 60, 160, 120]])
    frames = [
        frame(n, *([(100, 60, 160, 120)] if n >= 80 else []), gain=gain if n >= 20 else 1.0, colour=180)
        for n in range(160)
    ]
    found = run(frames, absorb_s=3.0)
    assert not any(len(part) for part in found[:80])
    assert all(iou_matrix(truth, part.boxes).max(initial=0) > 0.8 for part in found[83:105])
    assert 2.5 < max(n for n, part in enumerate(found) if len(part)) / FPS - 8.0 < 5.5


def test_what_is_in_view_while_an_exposure_becomes_the_background_s_own_is_not_learnt():
    """Something stands there from before the exposure changes until that counts as lasting, and leaves."""
    frames = [
        frame(n, *([(100, 60, 160, 120)] if 20 <= n < 80 else []), gain=0.7 if n >= 30 else 1.0)
        for n in range(120)
    ]
    found = run(frames, absorb_s=20.0)
    assert all(len(part) == 1 for part in found[22:80])
    assert not any(len(part) for part in found[82:])
    taken = run(frames, absorb_s=4.0)  # an object that hides a part of the background for as long as that
    assert not any(len(part) for part in taken[82:])


@pytest.mark.parametrize("gain", [0.94, 0.8, 1.2])
def test_what_flickers_stays_background_when_the_exposure_changes_for_good(gain):
    """Water glitters in two pictures of five from second 2; it is learnt when the exposure changes."""
    glitters = (np.random.default_rng(2).random(450) < 0.4) & (np.arange(450) >= 20)
    boxes = [[(100, 60, 160, 110)] if glitters[n] else [] for n in range(450)]
    frames = [frame(n, *boxes[n], colour=170, gain=gain if n >= 300 else 1.0) for n in range(450)]
    found = run(frames, absorb_s=5.0)
    assert any(len(part) for part in found[20:40])
    assert not any(len(part) for part in found[250:])


def test_a_change_of_exposure_that_has_lasted_hides_no_faint_object():
    """Gamma leaves a rest that the gain does not undo; once learnt it is allowed for no longer."""

    def dimmed(n: int) -> Frame:
        image = frame(n, *([(100, 60, 160, 120)] if n >= 160 else []), colour=140).image
        if n >= 20:
            image = cv2.LUT(image, (255 * (np.arange(256) / 255) ** 1.25 * 0.95).astype(np.uint8))
        return Frame(image, n / FPS, 0.0, n)

    found = run([dimmed(n) for n in range(180)], absorb_s=3.0)
    assert not any(len(part) for part in found[:160])
    assert all(len(part) for part in found[162:])


def test_a_change_of_exposure_that_is_too_small_to_be_corrected_makes_no_object_of_a_bright_wall():
    wall = (200, 0, 320, 180)
    frames = [frame(n, wall, colour=230, gain=1.0 if n < 60 else 1.038) for n in range(90)]
    assert sum(len(found) for found in run(frames, contrast=3, absorb_s=3.0)) == 0


def test_shadows_are_dropped_or_kept_as_set():
    def shaded(n: int) -> Frame:
        image = frame(n).image
        if n > 10:
            left = 4 * n
            image[60:120, left : left + 60] = (image[60:120, left : left + 60] * 0.65).astype(np.uint8)
        return Frame(image, n / FPS, 0.0, n)

    frames = [shaded(n) for n in range(40)]
    assert sum(len(found) for found in run(frames, remove_shadows=True)) == 0
    assert all(len(found) >= 1 for found in run(frames, remove_shadows=False)[12:])


def test_parts_that_nearly_touch_are_one_object():
    boxes = [(100, 60, 130, 120), (133, 60, 160, 120)]
    still, moved = [frame(n) for n in range(12)], [frame(n, *boxes) for n in range(12, 20)]
    assert {len(found) for found in run(still + moved, merge_gap=0.02)[13:]} == {1}
    assert {len(found) for found in run(still + moved, merge_gap=0.0)[13:]} == {2}


def test_parts_above_each_other_are_one_object_and_neighbours_are_not():
    head, body, neighbour = [100, 20, 120, 40], [95, 43, 125, 100], [130, 20, 160, 100]
    boxes, moving = join_parts(np.float32([head, body, neighbour]), np.float32([300, 1000, 2000]))
    assert boxes.tolist() == [[95, 20, 125, 100], neighbour]
    assert moving.tolist() == [1300, 2000]
    far = np.float32([[100, 0, 120, 20], [100, 60, 120, 80]])
    assert len(join_parts(far, np.float32([1, 1]))[0]) == 2


def test_dark_clothes_are_no_shadow_in_a_picture_without_colour():
    def grey(n: int) -> Frame:
        image = np.repeat(frame(n).image[:, :, :1], 3, axis=2)
        if n > 10:
            left = 4 * n
            image[60:120, left : left + 40] = (image[60:120, left : left + 40] * 0.65).astype(np.uint8)
        return Frame(image, n / FPS, 0.0, n)

    assert all(len(found) == 1 for found in run([grey(n) for n in range(40)])[13:])


def test_a_frame_of_another_size_starts_a_new_background():
    finder = MotionFinder(MotionSettings())
    assert not any(finder.moving(frame(n)) for n in range(10))
    rotated = [Frame(np.rot90(frame(n).image).copy(), n / FPS, 0.0, n) for n in range(10, 20)]
    assert not any(finder.moving(item) for item in rotated)


def test_scores_and_areas_filter():
    frames = [frame(n) for n in range(12)] + [frame(n, (100, 60, 160, 120)) for n in range(12, 20)]
    for more, count in (({"min_area": 0.1}, 0), ({"max_area": 0.01}, 0), ({"min_score": 1.0}, 0), ({}, 1)):
        detector = open_detector(DetectorSettings(kind="motion", **more))
        assert len([detector.detect(item) for item in frames][-1]) == count


@pytest.mark.data
def test_every_vehicle_on_a_real_road_is_one_steady_box_and_nothing_else_is(shared_data):
    """Four vehicles cross, counted by eye: alone at frames 55-109, two at once at 177-239, alone at 317-348.

    The camera halves its exposure for the white ones and sways.
    """
    video = cv2.VideoCapture(str(shared_data / "video" / "car-detection.mp4"))
    counts = []
    detector = open_detector(DetectorSettings(kind="motion"))
    while True:
        ok, image = video.read()
        if not ok:
            break
        index = len(counts)
        counts.append(len(detector.detect(Frame(np.asarray(image, np.uint8), index / 12.5, 0.0, index))))
    video.release()
    assert len(counts) == 377
    assert set(counts[60:105]) == {1}
    assert set(counts[192:225]) == {2}
    assert set(counts[320:346]) == {1}
    assert set(counts[:50] + counts[112:170] + counts[245:310] + counts[355:]) == {0}
