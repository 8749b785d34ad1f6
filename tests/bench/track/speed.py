"""Time per frame beside other trackers, in one run: only the ratios mean something.

    python tests/bench/track/speed.py [--gt ../shared/data/mot15] [--repeat 5]

Each tracker gets the same detections, turned into its own types before its clock starts; runs alternate and
the fastest of each counts. Without peers (`pip install trackers`) only our own time is printed.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
from peers import Peer, installed

from agent.records import Detections
from agent.track.kalman import BatchedKalman
from agent.track.motchallenge import frames_of, read_rows, to_detections
from agent.track.sequences import sequences_in
from agent.track.tracker import Tracker

FIELD_SIZE = (1920, 1080)


def our_time(frames: Sequence[Detections], fps: float, size: tuple[int, int]) -> float:
    """Seconds in `Tracker.update` for all frames."""
    tracker, spent = Tracker(), 0.0
    for number, found in enumerate(frames):
        start = time.perf_counter()
        tracker.update(found, number / fps, size)
        spent += time.perf_counter() - start
    return spent


def peer_time(peer: Peer, frames: Sequence[Detections]) -> float:
    """Seconds in the peer's own update for all frames."""
    running, spent = peer.start(), 0.0
    for found in frames:
        prepared = running.prepare(found)
        start = time.perf_counter()
        running.update(prepared)
        spent += time.perf_counter() - start
    return spent


def crowd(count: int, frames: int, seed: int = 0) -> list[Detections]:
    """Detections of `count` people who walk straight, with noise and 5 % misses."""
    rng = np.random.default_rng(seed)
    centre = rng.uniform((0, 0), FIELD_SIZE, (count, 2))
    velocity = rng.normal(0, 2, (count, 2))
    width = rng.uniform(20, 60, count)
    found = []
    for _ in range(frames):
        centre += velocity
        noisy = centre + rng.normal(0, 1, (count, 2))
        size = np.column_stack((width, 2 * width)) * rng.normal(1, 0.02, (count, 2))
        seen = rng.random(count) > 0.05
        boxes = np.concatenate((noisy - size / 2, noisy + size / 2), axis=1).astype(np.float32)[seen]
        scores = rng.uniform(0.5, 1, count).astype(np.float32)[seen]
        found.append(Detections(boxes, scores, np.zeros(len(boxes), np.int64)))
    return found


def report(
    title: str, frames: int, ours: Callable[[], float], peers: dict[str, Callable[[], float]], repeat: int
) -> None:
    """One line: microseconds a frame, and the ratio to the fastest peer."""
    best, best_of = np.inf, dict.fromkeys(peers, np.inf)
    for _ in range(repeat):
        best = min(best, ours())
        for name, run in peers.items():
            best_of[name] = min(best_of[name], run())
    line = f"{title:>14}: {1e6 * best / frames:6.0f} us"
    if best_of:
        name = min(best_of, key=best_of.__getitem__)
        line += f", {name} {1e6 * best_of[name] / frames:6.0f} us, ratio {best / best_of[name]:.3f}"
    print(line, flush=True)


def kalman_against_filterpy(tracks: int = 100, repeat: int = 200) -> None:
    """Predict and update of the batched filter, beside one filterpy object per track."""
    try:
        from filterpy.kalman import KalmanFilter
    except ImportError:
        print("filterpy is not installed: its comparison is left out")
        return
    rng = np.random.default_rng(0)
    boxes = np.concatenate((rng.uniform(0, 1000, (2, tracks)), rng.uniform(20, 90, (2, tracks))))
    kalman = BatchedKalman((0.05, 0.1), (0.25, 0.1), 0.5)
    state = kalman.start(boxes)
    twins = []
    for column in boxes.T:
        twin = KalmanFilter(dim_x=8, dim_z=4)
        twin.F[:4, 4:] = np.eye(4) * 0.04
        twin.H[:, :4] = np.eye(4)
        twin.x[:4, 0] = column
        twins.append(twin)
    ours, theirs = [], []
    for number in range(repeat):
        start = time.perf_counter()
        state = kalman.update(kalman.predict(state, 0.04), boxes, 1.0)
        ours.append(time.perf_counter() - start)
        if number % 20 == 0:
            start = time.perf_counter()
            for twin, column in zip(twins, boxes.T, strict=True):
                twin.predict()
                twin.update(column)
            theirs.append(time.perf_counter() - start)
    print(
        f"Kalman, {tracks} tracks: {1e6 * min(ours):.0f} us, filterpy {1e6 * min(theirs):.0f} us, "
        f"1/{min(theirs) / min(ours):.0f}"
    )


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--gt", type=Path, default=Path(__file__).parents[4] / "shared" / "data" / "mot15")
    parser.add_argument("--repeat", type=int, default=5)
    options = parser.parse_args()
    peers = installed()
    if not peers:
        print("no peer is installed (pip install trackers norfair): only our own time follows")
    kalman_against_filterpy()
    if options.gt.is_dir():
        recorded = [
            (info, [to_detections(rows) for _, rows in frames_of(read_rows(path), info.length)][:200])
            for info, path in sequences_in(options.gt)
        ]
        report(
            "MOT15",
            sum(len(frames) for _, frames in recorded),
            lambda: sum(our_time(frames, info.fps, info.size) for info, frames in recorded),
            {n: lambda p=p: sum(peer_time(p, frames) for _, frames in recorded) for n, p in peers.items()},
            options.repeat,
        )
    for count in (10, 50, 100, 200, 500):
        frames = crowd(count, 100 if count <= 100 else 30)
        report(
            f"{count} objects",
            len(frames),
            lambda frames=frames: our_time(frames, 30.0, FIELD_SIZE),
            {n: lambda p=p, frames=frames: peer_time(p, frames) for n, p in peers.items()},
            options.repeat,
        )


if __name__ == "__main__":
    main()
