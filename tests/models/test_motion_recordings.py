"""What the motion model learns out of recordings, against known paths; and recordings with faults."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from agent.detect.interpreter import Interpreter
from agent.errors import DataError
from agent.recording import RecordedFrame, Recording, RecordingHeader, RecordingWriter
from agent.records import Detections
from agent.track.motion_lstm import HORIZONS_S, STEPS, TICK_S, MotionModel
from agent.track.settings import TrackerSettings

pytest.importorskip("filterpy", reason="needs filterpy (extra models)")
from models.motion.examples import joined, mean_errors
from models.motion.recordings import RecordedMotion, read_motion, recordings_in
from tests.conftest import Mosquitto
from tests.models.motion_recordings import HEIGHT_PX, ROOT, record, walkers

FPS = 10.0


def read(path: Path) -> RecordedMotion:
    return read_motion(path, np.random.default_rng(0))


def standing(count: int, frames: int) -> np.ndarray:
    """(frames, 2, count) px: people who stand apart from each other."""
    return np.tile(np.stack([120.0 + 110 * np.arange(count), np.full(count, 200.0)]), (frames, 1, 1))


def test_who_walks_straight_is_ahead_of_the_damped_forecast_by_what_the_damping_takes(tmp_path: Path) -> None:
    """After a s, the part that he was hidden included, he went v a, and the forecast v τ (1 - exp(-a/τ))."""
    speed_px_s, frames = 40.0, 200
    path = standing(1, frames)
    path[:, 0, 0] += speed_px_s * np.arange(frames) / FPS
    motion = read(record(tmp_path / "a.ndjson", path, FPS))
    damping_s = TrackerSettings().lost_damping_s

    def ahead(hidden_s: float) -> np.ndarray:
        a = np.array(HORIZONS_S) + hidden_s
        return speed_px_s / HEIGHT_PX * (a - damping_s * (1 - np.exp(-a / damping_s)))

    settled = motion.examples[motion.moments_s > 4.0]
    assert len(settled) > 15
    found, known = settled.corrections, np.isfinite(settled.corrections).all(axis=2)
    assert 0 < known[:, -1].sum() < known[:, 0].sum()
    assert (found[..., 0] > ahead(0.0) - 0.01)[known].all()
    assert (found[..., 0] < ahead(2 * TICK_S) + 0.01)[known].all()
    assert np.abs(found[known][:, 1]).max() < 0.01


def test_a_camera_that_shakes_moves_nobody(tmp_path: Path) -> None:
    """What the tracker takes for the camera's movement is no movement of those who stand."""
    frames, after = 150, HORIZONS_S.index(2.0)
    shaken = np.random.default_rng(4).normal(0, 6.0, (frames, 2)).cumsum(axis=0)
    motion = read(record(tmp_path / "a.ndjson", standing(5, frames) + shaken[:, :, None], FPS))
    moved = shaken[20:] - shaken[:-20]  # in 2 s
    of_camera = np.linalg.norm(moved, axis=1).mean() / HEIGHT_PX
    assert len(motion.examples) > 60
    assert mean_errors(motion.examples.corrections)[after] < 0.5 * of_camera


def test_smoothed_tracks_stand_for_the_truth_better_than_boxes_do(tmp_path: Path) -> None:
    """The same people twice, later once without noise: what is known of later times differs that little."""
    noise, since_s, path = 0.05, 10.0, walkers(12, 200, FPS, seed=3)
    noisy = path + noise * HEIGHT_PX * np.random.default_rng(1).normal(size=path.shape)
    halfway = int(since_s * FPS)
    one = read(record(tmp_path / "one.ndjson", noisy, FPS))
    two = read(record(tmp_path / "two.ndjson", np.concatenate([noisy[:halfway], path[halfway:]]), FPS))
    same = one.moments_s < since_s
    assert same.sum() > 80
    same_too = two.moments_s < since_s
    np.testing.assert_array_equal(one.examples.features[same], two.examples.features[same_too])
    apart = one.examples.corrections[same] - two.examples.corrections[same_too]
    later = one.moments_s[same][:, None] + np.array(HORIZONS_S) > since_s + 0.5
    assert 0 < np.sqrt(np.nanmean(np.square(apart[later]))) < noise


def test_a_parked_car_does_not_outweigh_everybody(tmp_path: Path) -> None:
    path = standing(2, 700)
    path[100:, :, 1] = np.nan
    motion = read(record(tmp_path / "a.ndjson", path, 5.0))
    counts = np.bincount(motion.tracks)
    assert counts.max() == 100 and counts[counts > 0].min() > 15
    assert motion.moments_s[motion.tracks == counts.argmax()].max() > 130


def test_what_comes_before_a_moment_knows_nothing_of_what_comes_after(tmp_path: Path) -> None:
    motion = read(record(tmp_path / "a.ndjson", walkers(6, 200, FPS, seed=1), FPS))
    until_s = 15.0
    before, after = motion.before(until_s), motion.after(until_s)
    moments = motion.moments_s[motion.moments_s + HORIZONS_S[0] <= until_s]
    assert len(before) == len(moments) > 20
    late = moments[:, None] + np.array(HORIZONS_S) > until_s
    assert np.isnan(before.corrections[late]).all()
    assert np.isfinite(before.corrections[~late]).mean() > 0.9
    assert len(after) == (motion.moments_s >= until_s + STEPS * TICK_S).sum() > 5


@pytest.mark.timeout(1200)
def test_a_recording_of_the_agent_itself_is_learnt_from(tmp_path: Path, mosquitto: Mosquitto) -> None:
    """The demo's clip, the detector that ships: its model forecasts better than the filter alone."""
    config = tmp_path / "edgetrack.yaml"
    config.write_text(
        f"""device: porch
broker: {{url: "{mosquitto.url}"}}
outbox: {{path: outbox.sqlite}}
cameras:
  front:
    source: {ROOT / "agent/demo/street.mp4"}
    detector: {{model: {ROOT / "models/artefacts/street.tflite"}}}
    rules: [{{kind: left-scene}}]
"""
    )
    command = [sys.executable, "-m", "agent.cli", "run", "--quiet", config, "--record", tmp_path / "rec"]
    subprocess.run(command, cwd=ROOT, capture_output=True, check=True, timeout=800)
    (path,) = recordings_in(tmp_path / "rec")
    motion = read(path)
    assert motion.frames == sum(1 for _ in Recording(path)) > 100
    assert len(np.unique(motion.tracks)) >= 3 and len(motion.examples) > 40
    shipped = MotionModel(Interpreter(ROOT / "models" / "artefacts" / "motion_lstm.tflite", threads=1))
    truth = motion.examples.corrections
    after = mean_errors(truth - shipped(motion.examples.features.astype(np.float64)))
    assert after[HORIZONS_S.index(0.5)] < mean_errors(truth)[HORIZONS_S.index(0.5)]


def _write(path: Path, text: str) -> Path:
    path.write_text(text)
    return path


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("", "a.ndjson: expected a recording, got an empty file; mend or remove it"),
        ("MZ\x00", "a.ndjson:1: expected a JSON object, got 'MZ"),
        ('{"format": "other"}\n', "a.ndjson:1 format: expected 'edgetrack-recording', got 'other'; mend or"),
    ],
)
def test_what_is_no_recording_is_named(tmp_path: Path, content: str, message: str) -> None:
    with pytest.raises(DataError) as caught:
        read(_write(tmp_path / "a.ndjson", content))
    assert message in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_damaged_line_is_named_and_a_cut_one_left_out(tmp_path: Path) -> None:
    path = record(tmp_path / "a.ndjson", standing(2, 40), FPS)
    lines = path.read_text().splitlines(keepends=True)
    path.write_text("".join(lines)[:-30])
    assert read(path).frames == 39
    lines[20] = lines[20].replace('"boxes":[[', '"boxes":[[1,')
    path.write_text("".join(lines))
    with pytest.raises(DataError, match=r"a\.ndjson:21 detections\.boxes: expected a list of 2 .*; mend or"):
        read(path)
    boxes = np.array([[50, 50, 40, 90]], np.float32)
    with RecordingWriter(path, RecordingHeader("front", ("person",))) as writer:
        wrong = Detections(boxes, np.ones(1, np.float32), np.zeros(1, np.int64))
        writer.write(RecordedFrame(0.0, 0.0, 0, (640, 480), wrong))
    with pytest.raises(DataError, match=r"a\.ndjson:2 detections: .*; mend or remove it"):
        read(path)


def test_a_recording_without_detections_or_frames(tmp_path: Path) -> None:
    path = tmp_path / "a.ndjson"
    with RecordingWriter(path, RecordingHeader("front", ("person",))) as writer:
        writer.write(RecordedFrame(0.0, 0.0, 0, (640, 480)))
    with pytest.raises(DataError, match="expected detections in the recording, got none; record again with"):
        read(path)
    with RecordingWriter(path, RecordingHeader("front", ("person",))):
        pass
    assert (read(path).frames, len(read(path).examples)) == (0, 0)


def test_a_folder_without_recordings_says_how_to_make_some(tmp_path: Path) -> None:
    for place, got in ((tmp_path, "none in it"), (tmp_path / "absent", "no such folder")):
        with pytest.raises(DataError, match=rf"expected recordings \(\.ndjson\), got {got}; make some with"):
            recordings_in(place)


def test_mirrored_examples_turn_x_and_nothing_else(tmp_path: Path) -> None:
    examples = read(record(tmp_path / "a.ndjson", walkers(3, 80, FPS, seed=2), FPS)).examples
    rows = np.arange(len(examples)) % 2 == 0
    mirrored = examples.mirrored(rows)
    np.testing.assert_array_equal(mirrored.features[~rows], examples.features[~rows])
    turned, straight = mirrored.features[rows], examples.features[rows]
    np.testing.assert_array_equal(turned, straight * np.float32([-1, 1, -1, 1, 1, 1]))
    turned, straight = mirrored.corrections[rows], examples.corrections[rows]
    np.testing.assert_array_equal(turned, straight * np.float32([-1, 1]))
    assert len(joined([])) == 0
