"""HOTA, MOTA, IDF1 and IDSW beside other trackers on the same detections, also with frames dropped.

    python tests/bench/track/accuracy.py [--gt DIR] [--motion models/artefacts/motion_lstm.tflite]
        [--det NAME=FILE ...] [--tune TRIALS]

Peers run with their defaults; `--tune` searches their parameters on the very sequences that are scored, which
favours them. `--det` takes other detections of a sequence, such as those of `edgetrack-agent detect`.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from peers import Peer, installed

from agent.records import Detections
from agent.track.motchallenge import SequenceInfo, frames_of, read_rows, to_detections
from agent.track.motion_lstm import MotionModel
from agent.track.sequences import sequences_in
from agent.track.settings import TrackerSettings
from agent.track.tracker import Tracker
from models.evaluate.tracking import COMBINED, TrackingScores, evaluate_rows

Step = Callable[[Detections, float, tuple[int, int]], NDArray[np.float64]]
Sequence = tuple[SequenceInfo, list[Detections], NDArray[np.float64]]


def our_step(model: MotionModel | None) -> Step:
    """A fresh tracker of ours; rows are id, x1, y1, x2, y2, score."""
    tracker = Tracker(TrackerSettings(motion="kalman" if model is None else "lstm"), motion_model=model)

    def step(found: Detections, time_s: float, size: tuple[int, int]) -> NDArray[np.float64]:
        tracks = tracker.update(found, time_s, size).visible
        return np.column_stack((tracks.ids, tracks.boxes, tracks.scores)).astype(np.float64)

    return step


def peer_step(peer: Peer, parameters: dict[str, Any]) -> Step:
    running = peer.start(**parameters)
    return lambda found, _time_s, _size: running.step(found)


def score(sequences: list[Sequence], start: Callable[[], Step], every: int = 1) -> TrackingScores:
    """Scores over all sequences when only every n-th frame is seen, and only those are asked for."""
    scored = {}
    for info, frames, truth in sequences:
        step, parts = start(), [np.zeros((0, 7))]
        for number, found in enumerate(frames[::every], 1):
            rows = step(found, (number - 1) * every / info.fps, info.size)
            boxes = rows[:, 1:5].copy()
            boxes[:, 2:] -= boxes[:, :2]
            parts.append(np.column_stack((np.full(len(rows), number), rows[:, 0], boxes, rows[:, 5])))
        kept = truth[(truth[:, 0] - 1) % every == 0].copy()
        kept[:, 0] = (kept[:, 0] - 1) // every + 1
        scored[info.name] = (kept, np.concatenate(parts), len(frames[::every]))
    return evaluate_rows(scored)[COMBINED]


def tuned(sequences: list[Sequence], peer: Peer, trials: int) -> dict[str, Any]:
    """The peer's parameters with the highest HOTA."""
    import optuna

    def objective(trial: optuna.Trial) -> float:
        parameters = {
            name: trial.suggest_int(name, int(low), int(high))
            if isinstance(low, int)
            else trial.suggest_float(name, low, high)
            for name, (low, high) in peer.space.items()
        }
        trial.set_user_attr("parameters", parameters)
        return score(sequences, lambda: peer_step(peer, parameters)).hota

    optuna.logging.set_verbosity(optuna.logging.WARNING)
    study = optuna.create_study(direction="maximize", sampler=optuna.samplers.TPESampler(seed=0))
    study.optimize(objective, n_trials=trials)
    found: dict[str, Any] = study.best_trial.user_attrs["parameters"]
    return found


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--gt", type=Path, default=Path(__file__).parents[4] / "shared" / "data" / "mot15")
    parser.add_argument("--motion", type=Path)
    parser.add_argument("--det", action="append", default=[], metavar="NAME=FILE")
    parser.add_argument("--peers", nargs="*", default=["ByteTrack", "norfair"])
    parser.add_argument("--tune", type=int, default=0)
    parser.add_argument("--every", type=int, nargs="*", default=[1, 2, 3])
    options = parser.parse_args()
    other = dict(item.split("=", 1) for item in options.det)
    sequences: list[Sequence] = []
    for info, path in sequences_in(options.gt):
        if other and info.name not in other:
            continue
        rows = read_rows(Path(other.get(info.name, path)))
        rows = rows[rows[:, 7] == 0]
        frames = [to_detections(part) for _, part in frames_of(rows, info.length)]
        sequences.append((info, frames, read_rows(path.parent.parent / "gt" / "gt.txt")))

    def show(name: str, start: Callable[[], Step]) -> None:
        cells = []
        for every in options.every:
            s = score(sequences, start, every)
            cells.append(f"{s.hota:.2f} / {s.mota:.2f} / {s.idf1:.2f} / {s.idsw}")
        print(f"| {name} | {' | '.join(cells)} |", flush=True)

    heads = ["all frames" if every == 1 else f"every {every}." for every in options.every]
    print(f"| HOTA / MOTA / IDF1 / IDSW | {' | '.join(heads)} |")
    print(f"| --- |{' --- |' * len(heads)}")
    show("Edgetrack", lambda: our_step(None))
    if options.motion is not None:
        from agent.detect.interpreter import Interpreter

        model = MotionModel(Interpreter(options.motion, threads=1))
        show("Edgetrack, LSTM", lambda: our_step(model))
    for name, peer in installed().items():
        if name not in options.peers:
            continue
        show(name, lambda peer=peer: peer_step(peer, {}))
        if options.tune and peer.space:
            best = tuned(sequences, peer, options.tune)
            show(f"{name}, tuned", lambda peer=peer, best=best: peer_step(peer, best))


if __name__ == "__main__":
    main()
