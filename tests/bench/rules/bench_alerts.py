"""Precision and recall of alerts from real detections against what is true.

    python tests/bench/rules/bench_alerts.py [--data ../shared/data] [--model FILE.tflite] [--scene NAME …]

For each video the same rules that a user would write see the tracks that the project's detector and tracker
make of it. What is true comes from ground-truth tracks, from looking at the frames, or from the script of a
generated scene; see `alert_scenes` and `parking`. `annotated boxes` are the ground truth's boxes without
identities through the tracker: what is wrong there is the tracker's or the rules' fault, what is wrong only
below it the detector's. `square-seen` leaves out who appears or vanishes in the square, as people do whose
track is lost behind the lamp post in its middle.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

import numpy as np

ROOT = Path(__file__).resolve().parents[3]
sys.path.insert(0, str(ROOT))

from tests.bench.rules import alert_scenes, parking  # noqa: E402
from tests.bench.rules.happenings import right, told  # noqa: E402


def main() -> None:
    """Print the tables."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--data", type=Path, default=ROOT.parent / "shared" / "data")
    parser.add_argument("--model", type=Path)
    scenes = {
        "pets": lambda: alert_scenes.pets(options.data, model),
        "one-by-one": lambda: alert_scenes.table(options.data, model),
        "car": lambda: alert_scenes.road(options.data),
        "parking": parking.parking,
    }
    parser.add_argument("--scene", choices=scenes, nargs="*", default=list(scenes))
    options = parser.parse_args()
    model = options.model or options.data / "models" / "yolox_nano_float16_quantize.tflite"
    by_kind: dict[tuple[str, str], np.ndarray] = {}
    for name in options.scene:
        _print_scene(scenes[name](), by_kind)
    print("\n| kind | true | found | right | precision | recall |\n| --- | --- | --- | --- | --- | --- |")
    for kind in sorted({kind for kind, _ in by_kind}):
        _row([kind], by_kind[kind, "detector"])
    _row(["all"], sum(counts for (_, source), counts in by_kind.items() if source == "detector"))


def _print_scene(scene: alert_scenes.AlertScene, by_kind: dict[tuple[str, str], np.ndarray]) -> None:
    order = {name: row for row, name in enumerate(rule.name or "" for rule in scene.rules.rules)}
    for source, frames in scene.sources.items():
        found = told(frames, scene.rules, scene.labels, scene.size)
        print(f"\n{scene.name}, {source}\n")
        print("| rule | kind | true | found | right | precision | recall |")
        print("| --- | --- | --- | --- | --- | --- | --- |")
        keys = sorted(
            {(one.rule, one.kind) for one in scene.true + found}, key=lambda key: (order[key[0]], key[1])
        )
        total = np.zeros(3, int)
        for key in keys:
            ours, theirs = (
                [one for one in all_ if (one.rule, one.kind) == key] for all_ in (found, scene.true)
            )
            counts = np.array([len(theirs), len(ours), right(ours, theirs, scene.same)])
            _row(list(key), counts)
            total += counts
            if source not in ("annotated boxes", "public detections", "true tracks"):
                by_kind[key[1], "detector"] = by_kind.get((key[1], "detector"), np.zeros(3, int)) + counts
        silent = [name for name in order if name not in {rule for rule, _ in keys}]
        for name in silent:
            _row([name, "nothing expected"], np.zeros(3, int))
        _row(["all", ""], total)


def _row(names: list[str], counts: np.ndarray) -> None:
    true, found, hits = counts.tolist()
    precision = f"{hits / found:.2f}" if found else "–"
    recall = f"{hits / true:.2f}" if true else "–"
    print("| " + " | ".join([*names, str(true), str(found), str(hits), precision, recall]) + " |")


if __name__ == "__main__":
    main()
