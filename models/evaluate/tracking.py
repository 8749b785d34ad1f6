"""Tracks against truth: HOTA, CLEAR and identity metrics by TrackEval, the field's reference implementation.

HOTA: J. Luiten et al., HOTA: A Higher Order Metric for Evaluating Multi-Object Tracking, IJCV 2021.
CLEAR (MOTA): K. Bernardin, R. Stiefelhagen, 2008. Identity (IDF1): E. Ristani et al., 2016.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from agent.errors import DataError, SourceError
from agent.track.motchallenge import read_rows, read_sequence_info

Rows: TypeAlias = NDArray[np.float64]
"""(N, 7 or more) frame, id, left, top, width, height, score …; sorted by frame."""


@dataclass(frozen=True, slots=True)
class TrackingScores:
    """What TrackEval says of one sequence, or of all of them combined.

    Args:
        hota, deta, assa: in percent, averaged over the localisation levels 0.05 … 0.95.
        mota, idf1: in percent, at an IoU of 0.5.
        idsw: identity switches.
        frag: how often a trajectory is interrupted.
        fp, fn: false and missed boxes.
    """

    hota: float
    deta: float
    assa: float
    mota: float
    idf1: float
    idsw: int
    frag: int
    fp: int
    fn: int


COMBINED = "COMBINED"


def evaluate_rows(sequences: Mapping[str, tuple[Rows, Rows, int]]) -> dict[str, TrackingScores]:
    """Score tracks that are in memory.

    The protocol is MOT15's, as TrackEval applies it: truth whose score column is 0 is not asked for, and
    nothing else is removed.

    Args:
        sequences: name to (truth, tracks, number of frames).

    Returns:
        Scores by sequence, then under `COMBINED` those of all.

    Raises:
        DataError: an id occurs twice in a frame, or a frame lies beyond the sequence.
    """
    from trackeval.metrics import CLEAR, HOTA, Identity

    metrics = (HOTA(), CLEAR({"PRINT_CONFIG": False}), Identity({"PRINT_CONFIG": False}))
    results: list[dict[str, Any]] = [{} for _ in metrics]
    for name, (truth, tracks, length) in sequences.items():
        data = _sequence_data(name, truth[truth[:, 6] != 0], tracks, length)
        for metric, found in zip(metrics, results, strict=True):
            found[name] = metric.eval_sequence(data)
    scores = {name: _scores(*(found[name] for found in results)) for name in sequences}
    combined = (metric.combine_sequences(found) for metric, found in zip(metrics, results, strict=True))
    return {**scores, COMBINED: _scores(*combined)}


def evaluate_folder(
    truth_dir: Path, tracks_dir: Path, on_progress: Callable[[str], None] | None = None
) -> dict[str, TrackingScores]:
    """Score `tracks_dir/SEQ.txt` against `truth_dir/SEQ/gt/gt.txt` for every sequence with a `seqinfo.ini`.

    Args:
        truth_dir: a folder of MOTChallenge sequences.
        tracks_dir: a folder with one file per sequence.
        on_progress: called with the name of every sequence that was read.

    Raises:
        SourceError: there is no sequence, or one has no tracks.
        DataError: a file is not as MOTChallenge has it.
    """
    names = sorted(path.parent.name for path in truth_dir.glob("*/seqinfo.ini"))
    if not names:
        raise SourceError(str(truth_dir), "expected folders with a seqinfo.ini, got none")
    sequences = {}
    for name in names:
        length = read_sequence_info(truth_dir / name / "seqinfo.ini").length
        truth = read_rows(truth_dir / name / "gt" / "gt.txt")
        sequences[name] = (truth, read_rows(tracks_dir / f"{name}.txt"), length)
        if on_progress is not None:
            on_progress(name)
    return evaluate_rows(sequences)


def _scores(hota: Mapping[str, Any], clear: Mapping[str, Any], identity: Mapping[str, Any]) -> TrackingScores:
    return TrackingScores(
        hota=100 * float(np.mean(hota["HOTA"])),
        deta=100 * float(np.mean(hota["DetA"])),
        assa=100 * float(np.mean(hota["AssA"])),
        mota=100 * float(clear["MOTA"]),
        idf1=100 * float(identity["IDF1"]),
        idsw=int(clear["IDSW"]),
        frag=int(clear["Frag"]),
        fp=int(clear["CLR_FP"]),
        fn=int(clear["CLR_FN"]),
    )


def _split(name: str, what: str, rows: Rows, length: int) -> tuple[list[NDArray[np.int64]], list[Rows], int]:
    """Ids from 0 without gaps and boxes, both frame by frame, and how many ids there are."""
    if len(rows) and rows[-1, 0] > length:
        raise DataError(f"{name}: {what}", f"expected frames 1 to {length}, got frame {int(rows[-1, 0])}")
    values, ids = np.unique(rows[:, 1], return_inverse=True)
    key = rows[:, 0] * (len(values) + 1) + ids
    if len(np.unique(key)) != len(key):
        raise DataError(f"{name}: {what}", "expected every id once a frame, got one twice")
    edges = np.searchsorted(rows[:, 0], np.arange(1, length + 2))
    parts = [slice(a, b) for a, b in pairwise(edges)]
    return [ids[part] for part in parts], [rows[part, 2:6] for part in parts], len(values)


def _sequence_data(name: str, truth: Rows, tracks: Rows, length: int) -> dict[str, Any]:
    """The dictionary that TrackEval's metrics read, as its MotChallenge2DBox makes it."""
    gt_ids, gt_boxes, gt_count = _split(name, "truth", truth, length)
    ids, boxes, count = _split(name, "tracks", tracks, length)
    return {
        "seq": name,
        "num_timesteps": length,
        "gt_ids": gt_ids,
        "tracker_ids": ids,
        "gt_dets": gt_boxes,
        "tracker_dets": boxes,
        "similarity_scores": [iou_ltwh(a, b) for a, b in zip(gt_boxes, boxes, strict=True)],
        "num_gt_dets": len(truth),
        "num_tracker_dets": len(tracks),
        "num_gt_ids": gt_count,
        "num_tracker_ids": count,
    }


def iou_ltwh(a: Rows, b: Rows) -> Rows:
    """(N, M) IoU of boxes (left, top, width, height), in float64 as TrackEval has it."""
    low = np.maximum(a[:, None, :2], b[None, :, :2])
    high = np.minimum((a[:, :2] + a[:, 2:])[:, None], (b[:, :2] + b[:, 2:])[None])
    overlap = np.maximum(high - low, 0.0).prod(axis=2)
    union = a[:, 2:].prod(axis=1)[:, None] + b[:, 2:].prod(axis=1)[None] - overlap
    iou: Rows = np.divide(overlap, union, out=np.zeros_like(overlap), where=union > 0)
    return iou
