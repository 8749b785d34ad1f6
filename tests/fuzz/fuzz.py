"""Damaged input for everything that the agent reads from outside.

    python -m tests.fuzz.fuzz [--inputs 120000] [--seed 1]

Seeds are valid; each input is one of them, changed a little (`mutation`). What is looked for: an exception
other than an EdgetrackError of one line, a refused command that changed something. `.tflite` files that pass
the agent's own check are loaded and run by the real runtime in a child process; a crash there is contained
and counted. Prints one line of JSON; exits 1 at a breach, and keeps the input.
"""

from __future__ import annotations

import argparse
import json
import logging
import random
import sys
import tempfile
import time
import traceback
from collections.abc import Callable
from pathlib import Path

from agent.alerts.schema import build_payload, new_id
from agent.detect.tflite_file import check_tflite
from tests.agent.alerts.conftest import make_alert
from tests.fuzz.mutation import mutate, spoil_head
from tests.fuzz.native import NativeLoader
from tests.fuzz.targets import (
    COMMAND_SEEDS,
    CONFIG,
    RECEIPT,
    RECORDING,
    SPEC,
    CommandTarget,
    alert_target,
    file_targets,
    receipt_target,
    refused_in_one_line,
)

MODEL = Path(__file__).parents[2] / "models" / "artefacts" / "motion_lstm.tflite"
SHARES = {
    "command": 0.30,
    "receipt": 0.20,
    "ModelSpec": 0.13,
    "recording": 0.13,
    "alert": 0.10,
    ".tflite": 0.10,
    "configuration": 0.04,
}
_NATIVE_SHARE = 0.2  # of the .tflite files that pass the check


def alert_seed() -> bytes:
    """An alert as a device sends it."""
    return build_payload(
        make_alert(), id=new_id(), sequence=1, device="porch", camera="front", clock_synchronised=True
    ).to_json()


def run(folder: Path, inputs: int, seed: int = 1, model: Path = MODEL) -> dict[str, object]:
    """Feed `inputs` inputs; the figures.

    Raises:
        Exception: whatever an input did that none may do; its bytes are in `folder / "breach"`.
    """
    generator = random.Random(seed)
    files, commands, alert = file_targets(folder), CommandTarget(), alert_seed()
    names = ("set_armed", *(name for name, _ in COMMAND_SEEDS), "no_such", "../reload")

    def text(seed_: bytes, target: Callable[[bytes], None]) -> Callable[[], None]:
        def feed() -> None:
            last[0] = mutate(seed_, RECEIPT, generator)
            target(last[0])

        return feed

    def command() -> None:
        name, body = generator.choice(COMMAND_SEEDS)
        name = name if generator.random() < 0.8 else generator.choice(names)
        last[0] = mutate(body, RECEIPT, generator) if generator.random() < 0.95 else body
        commands.ask(name, last[0], retain=generator.random() < 0.02)

    def tflite() -> None:
        last[0] = spoil_head(model_bytes, generator)
        files[".tflite"](last[0])

    def passed(path: Path) -> bool:
        return generator.random() < _NATIVE_SHARE and not refused_in_one_line(lambda: check_tflite(path))

    last = [b""]
    model_bytes = model.read_bytes()
    feeds = {
        "command": command,
        "receipt": text(RECEIPT, receipt_target),
        "alert": text(alert, alert_target),
        ".tflite": tflite,
        "configuration": text(CONFIG, files["configuration"]),
        "ModelSpec": text(SPEC, files["ModelSpec"]),
        "recording": text(RECORDING, files["recording"]),
    }
    counts = dict.fromkeys(feeds, 0)
    start_s = time.monotonic()
    with NativeLoader() as native:
        try:
            for name, share in SHARES.items():
                for _ in range(max(1, round(inputs * share))):
                    feeds[name]()
                    counts[name] += 1
                    if name == ".tflite" and passed(folder / "model.tflite"):
                        native.load(folder / "model.tflite")
        except BaseException:
            (folder / "breach").write_bytes(last[0])
            raise
        finally:
            commands.close()
        return {
            "inputs": sum(counts.values()),
            "elapsed_s": round(time.monotonic() - start_s, 1),
            **counts,
            "commands_carried_out": commands.state,
            **native.figures(),
        }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--inputs", type=int, default=120_000)
    parser.add_argument("--seed", type=int, default=1)
    arguments = parser.parse_args()
    logging.disable()
    with tempfile.TemporaryDirectory() as folder:
        try:
            figures = run(Path(folder), arguments.inputs, arguments.seed)
        except Exception:  # noqa: BLE001 - what is being looked for
            traceback.print_exc()
            kept = Path(tempfile.mkdtemp(prefix="edgetrack-fuzz-")) / "breach"
            kept.write_bytes((Path(folder) / "breach").read_bytes())
            print(json.dumps({"fault": "fuzz", "breach": str(kept)}))
            sys.exit(1)
    print(json.dumps({"fault": "fuzz", **figures}))


if __name__ == "__main__":
    main()
