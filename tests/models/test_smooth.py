"""Offline smoothing: against a trajectory that is known, across gaps, and on a sequence of MOT15."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from agent.errors import ConfigError, DataError, SourceError
from agent.track.motchallenge import read_rows
from agent.track.sequences import sequences_in, track_sequence
from agent.track.settings import TrackerSettings

pytest.importorskip("filterpy", reason="needs filterpy (extra models)")
from models.evaluate.smooth import smooth_file, smooth_path, smooth_rows
from models.evaluate.tracking import evaluate_rows

FPS = 25.0


def walk(id_: int, frames: int = 120, noise_px: float = 0.0) -> np.ndarray:
    """(frames, 8) rows of somebody who walks in a gentle curve and comes nearer."""
    time_s = np.arange(frames) / FPS
    height = 100 + 4 * time_s
    box = np.stack((50 + 60 * time_s, 200 + 30 * np.sin(0.5 * time_s), 0.4 * height, height), axis=1)
    box += np.random.default_rng(id_).normal(0, noise_px, box.shape) if noise_px else 0
    head = np.stack((np.arange(1, frames + 1), np.full(frames, id_)), axis=1)
    return np.concatenate((head, box, np.full((frames, 1), 0.9), np.zeros((frames, 1))), axis=1)


def together(*tracks: np.ndarray) -> np.ndarray:
    rows = np.concatenate(tracks)
    return rows[rows[:, 0].argsort(kind="stable")]


def rmse(rows: np.ndarray, truth: np.ndarray) -> np.ndarray:
    return np.sqrt(np.square(rows[:, 2:6] - truth[:, 2:6]).mean(axis=0))


def test_smoothing_a_noisy_trajectory_halves_its_error() -> None:
    noisy, truth = walk(3, noise_px=4.0), walk(3)
    smoothed = smooth_rows(noisy, FPS)
    assert np.array_equal(smoothed[:, :2], noisy[:, :2])
    assert (rmse(smoothed, truth) < 0.5 * rmse(noisy, truth)).all()


def test_gap_within_the_limit_is_filled_with_the_same_id_close_to_the_truth() -> None:
    truth = walk(7)
    gap = (truth[:, 0] > 50) & (truth[:, 0] < 60)
    truth[~gap & (truth[:, 0] >= 60), 6] = 0.6
    rows = together(walk(7, noise_px=2.0)[~gap], walk(9))
    rows[(rows[:, 1] == 7) & (rows[:, 0] >= 60), 6] = 0.6
    smoothed = smooth_rows(rows, FPS, max_gap_s=0.5)
    found = smoothed[smoothed[:, 1] == 7]
    assert found[:, 0].tolist() == truth[:, 0].tolist()
    assert set(smoothed[:, 1]) == {7, 9}
    assert (rmse(found[gap], truth[gap]) < 2.0).all()
    assert (found[gap, 6] == 0.6).all()


def test_gap_of_exactly_the_limit_is_filled_and_a_longer_one_is_left() -> None:
    rows = walk(1)
    rows = rows[(rows[:, 0] <= 20) | (rows[:, 0] >= 30)]  # 10 frames from box to box: 0.4 s
    assert len(smooth_rows(rows, FPS, max_gap_s=0.4)) == 120
    left = smooth_rows(rows, FPS, max_gap_s=0.39)
    assert left[:, 0].tolist() == rows[:, 0].tolist()
    assert len(smooth_rows(rows, FPS, max_gap_s=0.0)) == len(rows)


def test_tracks_do_not_influence_each_other_and_a_single_box_is_kept() -> None:
    a, b = walk(1, noise_px=3.0), walk(2, noise_px=3.0)
    lone = walk(5)[40:41]
    both = smooth_rows(together(a, b, lone), FPS)
    assert np.array_equal(both[both[:, 1] == 1], smooth_rows(a, FPS))
    assert np.array_equal(both[both[:, 1] == 5], lone)
    assert len(smooth_rows(np.empty((0, 8)), FPS)) == 0


def test_bad_input_is_named(tmp_path: Path) -> None:
    rows = walk(1)
    with pytest.raises(DataError, match=r"frame 4, track 1: expected every id once a frame"):
        smooth_rows(together(rows, rows[3:4]), FPS)
    with pytest.raises(ConfigError, match="fps: expected frames per second above 0, got 0"):
        smooth_rows(rows, 0.0)
    with pytest.raises(ConfigError, match="max_gap_s: expected seconds from 0, got nan"):
        smooth_rows(rows, FPS, float("nan"))
    rows[6, 4] = 0.0
    with pytest.raises(DataError, match="frame 7, track 1: expected a width and height above 0"):
        smooth_rows(rows, FPS)
    with pytest.raises(SourceError, match="expected a file or folder of tracks"):
        smooth_path(tmp_path / "none", tmp_path / "out")
    with pytest.raises(SourceError, match=r"expected \.txt files"):
        smooth_path(tmp_path, tmp_path / "out")
    detections = tmp_path / "det.txt"
    detections.write_text("1,-1,10,10,5,9,0.9,-1,-1,-1\n")
    with pytest.raises(DataError, match="got id -1"):
        smooth_file(detections, tmp_path / "out.txt")
    with pytest.raises(ConfigError, match="expected another place"):
        smooth_path(detections, detections)


@pytest.mark.data
def test_command_smooths_a_real_sequence_and_says_that_it_is_offline(
    shared_data: Path, tmp_path: Path
) -> None:
    pytest.importorskip("trackeval", reason="needs TrackEval (make setup)")
    name = "TUD-Stadtmitte"
    info, detections = next(s for s in sequences_in(shared_data / "mot15") if s[0].name == name)
    online, offline = tmp_path / "online" / f"{name}.txt", tmp_path / "offline" / f"{name}.txt"
    track_sequence(detections, online, TrackerSettings(), info=info)
    before = online.read_bytes()
    command = [sys.executable, "-m", "models.cli", "smooth", "--fps", str(info.fps)]
    done = subprocess.run(
        [*command, "--tracks", online.parent, "--output", offline.parent],
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stdout.splitlines()[-1].startswith("OFFLINE result")
    assert online.read_bytes() == before
    rows, smoothed = read_rows(online), read_rows(offline)
    assert set(rows[:, 1]) == set(smoothed[:, 1])
    assert len(smoothed) > len(rows)
    truth = read_rows(detections.parent.parent / "gt" / "gt.txt")
    scores = evaluate_rows({"online": (truth, rows, info.length), "offline": (truth, smoothed, info.length)})
    assert scores["offline"].hota > scores["online"].hota
    assert scores["offline"].frag <= scores["online"].frag


def test_command_gives_one_line_for_a_missing_file(tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "models.cli", "smooth", "--tracks", tmp_path / "no.txt", "-o", tmp_path / "x"],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == SourceError.exit_code
    assert done.stderr.count("\n") == 1
    assert "no.txt: expected a file or folder of tracks" in done.stderr
