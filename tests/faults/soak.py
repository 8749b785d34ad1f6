"""A million frames at full speed: objects are born and die, alerts go to a real mosquitto; nothing may grow.

    python -m tests.faults.soak [--frames 1000000]

Detections of made-up walkers, new each time, with noise, misses and false alarms, pass through tracker (with
its LSTM), rules, outbox and delivery, as fast as that goes. Prints one line of JSON: memory at first, after a
tenth and at last, its slope by least squares after the first tenth, threads and descriptors then and at last,
and the outbox. Exits 1 when memory grows by more than 1 MB per 100,000 frames, or threads, descriptors or the
outbox have grown.
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
import threading
import time
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from agent.alerts.publisher import AlertPublisher
from agent.alerts.schema import new_id
from agent.alerts.settings import BrokerSettings, OutboxSettings
from agent.assembly import build_tracker
from agent.records import Detections
from agent.rules.engine import RuleEngine
from agent.rules.settings import RulesSettings
from agent.track.settings import TrackerSettings
from tests.faults.broker import Broker
from tests.faults.tpu_faults import rss_mb

SIZE = (640, 480)
PERIOD_S = 0.04
LABELS = ("person", "car")
RULES = RulesSettings.model_validate(
    {
        "zones": {"yard": {"points": [[0.25, 0.25], [0.75, 0.25], [0.75, 0.75], [0.25, 0.75]]}},
        "tripwires": {"gate": {"points": [[0.5, 0.0], [0.5, 1.0]]}},
        "rules": [
            {"kind": "zone", "zone": "yard", "when": ["enter", "leave"]},
            {"kind": "zone", "zone": "yard", "when": ["inside"]},
            {"kind": "tripwire", "tripwire": "gate"},
            {"kind": "dwell", "zone": "yard", "min_s": 3},
            {"kind": "occupancy", "zone": "yard", "above": 2},
            {"kind": "left-scene"},
        ],
    }
)
MAX_SLOPE_MB = 1.0  # per 100,000 frames
MAX_QUEUED = 2000


class Walkers:
    """Objects that walk straight for 4 to 16 s of scene time and are replaced by others.

    Args:
        count: alive at a time.
        seed: of all chance.
    """

    def __init__(self, count: int, seed: int) -> None:
        self._random = np.random.default_rng(seed)
        self._centres = np.zeros((count, 2))
        self._steps = np.zeros((count, 2))
        self._sizes = np.zeros((count, 2))
        self._labels = np.zeros(count, np.int64)
        self._dies_at = np.full(count, -1)
        self._frame = 0
        self.births = 0
        """Objects so far."""

    def next(self) -> Detections:
        """What a detector says of the next frame: 3 % missed, one false alarm in 20 frames."""
        random = self._random
        for place in np.flatnonzero(self._dies_at < self._frame):
            self._bear(int(place))
        self._frame += 1
        self._centres += self._steps
        seen = random.random(len(self._labels)) > 0.03
        centres = self._centres[seen] + random.normal(0, 1, (int(seen.sum()), 2))
        sizes, labels = self._sizes[seen], self._labels[seen]
        if random.random() < 0.05:
            centres = np.vstack((centres, random.uniform((50, 50), (590, 430))))
            sizes, labels = np.vstack((sizes, (40.0, 80.0))), np.append(labels, 0)
        boxes = np.hstack((centres - sizes / 2, centres + sizes / 2)).astype(np.float32)
        return Detections(boxes, random.uniform(0.5, 0.95, len(labels)).astype(np.float32), labels)

    def _bear(self, place: int) -> None:
        random = self._random
        frames = int(random.integers(100, 400))
        start, end = random.uniform((40, 60), (600, 420), (2, 2))
        self._centres[place], self._steps[place] = start, (end - start) / frames
        self._sizes[place] = random.uniform((25, 50), (60, 120))
        self._labels[place] = random.integers(len(LABELS))
        self._dies_at[place] = self._frame + frames
        self.births += 1


@dataclass
class Samples:
    """What must not grow, as often as `take` is called."""

    frames: list[int] = field(default_factory=list)
    rss_mb: list[float] = field(default_factory=list)
    threads: list[int] = field(default_factory=list)
    descriptors: list[int] = field(default_factory=list)
    queued: list[int] = field(default_factory=list)
    objects: list[int] = field(default_factory=list)

    def take(self, frame: int, queued: int, objects: int) -> None:
        self.frames.append(frame)
        self.rss_mb.append(rss_mb())
        self.threads.append(threading.active_count())
        self.descriptors.append(sum(1 for _ in Path("/proc/self/fd").iterdir()))
        self.queued.append(queued)
        self.objects.append(objects)

    def slope_mb(self) -> float:
        """MB per 100,000 frames, after the first tenth."""
        skip = len(self.frames) // 10
        return float(np.polyfit(np.divide(self.frames[skip:], 1e5), self.rss_mb[skip:], 1)[0])

    def figures(self) -> dict[str, object]:
        tenth = len(self.frames) // 10
        return {
            "rss_mb": [round(self.rss_mb[place], 1) for place in (0, tenth, -1)],
            "rss_max_mb": round(max(self.rss_mb), 1),
            "slope_mb_per_100k": round(self.slope_mb(), 3),
            "threads": [self.threads[tenth], self.threads[-1]],
            "descriptors": [self.descriptors[tenth], self.descriptors[-1]],
            "queued_max": max(self.queued),
            "objects_max": max(self.objects),
        }


def run(folder: Path, frames: int, seed: int = 1, samples: int = 200) -> dict[str, object]:
    """Put `frames` frames through; the figures."""
    walkers, taken, alerts = Walkers(4, seed), Samples(), 0
    tracker = build_tracker(TrackerSettings(), ())
    engine = RuleEngine(RULES, labels=LABELS, new_id=new_id)
    outbox = OutboxSettings(path=folder / "outbox.sqlite", synchronous="normal")
    with (
        Broker(folder, verbose=False) as broker,
        AlertPublisher(BrokerSettings(url=broker.url), outbox, "porch") as publisher,
    ):
        start_s = time.monotonic()
        first_s, wall_s = start_s, time.time()
        for frame in range(frames):
            time_s = first_s + frame * PERIOD_S
            tracks = tracker.update(walkers.next(), time_s, SIZE)
            for alert in engine.update(tracks, time_s, wall_s + frame * PERIOD_S, SIZE):
                publisher.publish(alert, "front")
                alerts += 1
            if frame % max(frames // samples, 1) == 0 or frame == frames - 1:
                queued = publisher.stats.queued
                taken.take(frame, queued, engine.objects)
                if len(taken.frames) % 20 == 0:
                    print(f"{frame} frames, {taken.rss_mb[-1]:.1f} MB", file=sys.stderr, flush=True)
                if queued > MAX_QUEUED:  # alerts are made faster than here they can be: hours in minutes
                    publisher.drain(60)
        elapsed_s = time.monotonic() - start_s
        drained = publisher.drain(60)
        stats = publisher.stats
        return {
            "frames": frames,
            "scene_h": round(frames * PERIOD_S / 3600, 2),
            "frames_per_s": round(frames / elapsed_s),
            "births": walkers.births,
            "alerts": alerts,
            "acknowledged": stats.acknowledged,
            "dropped": stats.dropped,
            "drained": drained,
            **taken.figures(),
            "outbox_kb": round(sum(file.stat().st_size for file in folder.glob("outbox*")) / 1024),
        }


def failed(figures: dict[str, object]) -> bool:
    """Whether something grew."""
    return bool(
        float(str(figures["slope_mb_per_100k"])) > MAX_SLOPE_MB
        or any(len(set(pair)) > 1 for pair in (figures["threads"], figures["descriptors"]))  # type: ignore[arg-type]
        or figures["acknowledged"] != figures["alerts"]
        or figures["dropped"]
        or not figures["drained"]
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--frames", type=int, default=1_000_000)
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        figures = run(Path(folder), arguments.frames)
    print(json.dumps({"fault": "soak", **figures}))
    sys.exit(failed(figures))


if __name__ == "__main__":
    main()
