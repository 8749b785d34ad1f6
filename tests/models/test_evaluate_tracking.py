"""Scores against TrackEval's own evaluator, and what the tracker reaches on MOT15."""

from __future__ import annotations

import contextlib
import io
import json
import subprocess
import sys
import warnings
from pathlib import Path

import numpy as np
import pytest

from agent.errors import DataError, SourceError
from agent.track.motchallenge import read_rows
from agent.track.sequences import sequences_in, track_sequence
from agent.track.settings import TrackerSettings
from models.evaluate.tracking import COMBINED, evaluate_folder, evaluate_rows

trackeval = pytest.importorskip("trackeval", reason="needs TrackEval (make setup)")
SHORT = ("TUD-Campus", "KITTI-17")


@pytest.fixture
def tracked(shared_data: Path, tmp_path: Path) -> tuple[Path, Path]:
    """(truth, tracks) of two short sequences of MOT15."""
    (tmp_path / "gt").mkdir()
    for name in SHORT:
        (tmp_path / "gt" / name).symlink_to(shared_data / "mot15" / name)
    for info, path in sequences_in(tmp_path / "gt"):
        track_sequence(path, tmp_path / "tracks" / f"{info.name}.txt", TrackerSettings(), info=info)
    return tmp_path / "gt", tmp_path / "tracks"


@pytest.mark.data
def test_scores_equal_trackevals_own_evaluator(tracked: tuple[Path, Path], tmp_path: Path) -> None:
    gt, tracks = tracked
    scores = evaluate_folder(gt, tracks)
    dataset = {
        "GT_FOLDER": str(gt),
        "TRACKERS_FOLDER": str(tracks.parent),
        "TRACKERS_TO_EVAL": [tracks.name],
        "TRACKER_SUB_FOLDER": "",
        "OUTPUT_FOLDER": str(tmp_path),
        "BENCHMARK": "MOT15",
        "SKIP_SPLIT_FOL": True,
        "SEQ_INFO": dict.fromkeys(SHORT),
        "PRINT_CONFIG": False,
    }
    evaluator = {
        "PRINT_RESULTS": False,
        "PRINT_CONFIG": False,
        "TIME_PROGRESS": False,
        "OUTPUT_SUMMARY": False,
        "OUTPUT_DETAILED": False,
        "PLOT_CURVES": False,
        "LOG_ON_ERROR": None,
    }
    with contextlib.redirect_stdout(io.StringIO()), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        metrics = [
            trackeval.metrics.HOTA(),
            trackeval.metrics.CLEAR({"PRINT_CONFIG": False}),
            trackeval.metrics.Identity({"PRINT_CONFIG": False}),
        ]
        results, _ = trackeval.Evaluator(evaluator).evaluate(
            [trackeval.datasets.MotChallenge2DBox(dataset)], metrics
        )
    theirs = results["MotChallenge2DBox"][tracks.name]
    for name in (*SHORT, COMBINED):
        found = theirs["COMBINED_SEQ" if name == COMBINED else name]["pedestrian"]
        assert scores[name].hota == pytest.approx(100 * np.mean(found["HOTA"]["HOTA"]))
        assert scores[name].deta == pytest.approx(100 * np.mean(found["HOTA"]["DetA"]))
        assert scores[name].assa == pytest.approx(100 * np.mean(found["HOTA"]["AssA"]))
        assert scores[name].mota == pytest.approx(100 * found["CLEAR"]["MOTA"])
        assert scores[name].idf1 == pytest.approx(100 * found["Identity"]["IDF1"])
        assert (scores[name].idsw, scores[name].frag) == (found["CLEAR"]["IDSW"], found["CLEAR"]["Frag"])


@pytest.mark.data
@pytest.mark.slow
def test_tracks_on_mot15_stay_ahead_of_the_field(shared_data: Path, tmp_path: Path) -> None:
    for info, path in sequences_in(shared_data / "mot15"):
        track_sequence(path, tmp_path / f"{info.name}.txt", TrackerSettings(), info=info)
    combined = evaluate_folder(shared_data / "mot15", tmp_path)[COMBINED]
    assert combined.hota >= 39.5
    assert combined.idf1 >= 52.5
    assert combined.mota >= 42.5
    assert combined.idsw <= 340


def test_truth_as_tracks_is_perfect_and_nothing_as_tracks_is_zero() -> None:
    rng = np.random.default_rng(0)
    truth = np.array(
        [[f, i, 50 * i + f, 10, 20 + i, 40, 1, 0] for f in range(1, 20) for i in range(1, 4)], float
    )
    perfect = evaluate_rows({"s": (truth, truth, 19)})[COMBINED]
    assert (perfect.hota, perfect.mota, perfect.idf1, perfect.idsw) == (100, 100, 100, 0)
    nothing = evaluate_rows({"s": (truth, truth[:0], 19)})[COMBINED]
    assert (nothing.hota, nothing.mota, nothing.fn) == (0, 0, len(truth))
    shuffled = truth[rng.permutation(len(truth))]
    shuffled = shuffled[shuffled[:, 0].argsort(kind="stable")]
    assert evaluate_rows({"s": (truth, shuffled, 19)})[COMBINED] == perfect


def test_truth_marked_zero_is_not_asked_for() -> None:
    truth = np.array([[f, i, 50 * i, 10, 20, 40, i == 1, 0] for f in range(1, 6) for i in (1, 2)], float)
    scores = evaluate_rows({"s": (truth, truth[truth[:, 1] == 1], 5)})[COMBINED]
    assert (scores.hota, scores.fn) == (100, 0)


def test_an_id_twice_in_a_frame_and_a_frame_too_late_are_refused() -> None:
    truth = np.array([[1, 1, 0, 0, 10, 10, 1, 0]], float)
    with pytest.raises(DataError, match="s: tracks: expected every id once a frame"):
        evaluate_rows({"s": (truth, np.repeat(truth, 2, axis=0), 1)})
    with pytest.raises(DataError, match="s: truth: expected frames 1 to 1, got frame 3"):
        evaluate_rows({"s": (truth + np.array([2, 0, 0, 0, 0, 0, 0, 0]), truth, 1)})


def test_missing_folders_are_one_clear_line(tmp_path: Path) -> None:
    with pytest.raises(SourceError, match=r"expected folders with a seqinfo\.ini, got none"):
        evaluate_folder(tmp_path, tmp_path)


@pytest.mark.data
def test_the_command_prints_a_table_and_json(tracked: tuple[Path, Path]) -> None:
    gt, tracks = tracked
    command = [
        sys.executable,
        "-m",
        "models.cli",
        "evaluate",
        "tracking",
        "--gt",
        str(gt),
        "--tracks",
        str(tracks),
    ]
    table = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    assert all(word in table for word in ("HOTA", "IDSW", "TUD-Campus", COMBINED))
    content = json.loads(
        subprocess.run([*command, "--json"], capture_output=True, text=True, check=True).stdout
    )
    assert list(content) == [*sorted(SHORT), COMBINED]
    assert f"{content[COMBINED]['hota']:.2f}" in table
    (tracks / "KITTI-17.txt").unlink()
    failed = subprocess.run(command, capture_output=True, text=True, check=False)
    assert failed.returncode == 66
    assert "KITTI-17.txt" in failed.stderr
    assert "Traceback" not in failed.stderr
    assert len(read_rows(tracks / "TUD-Campus.txt")) > 200
