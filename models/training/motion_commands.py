"""`edgetrack-models train motion`; `models.cli` adds it."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from models.architectures.kinds import Cell
from models.training.options import ConfigFile, Overrides, progress, quiet_tensorflow, read_settings

if TYPE_CHECKING:
    from models.training.motion import ForecastScores


def train_motion_command(
    output: Annotated[
        Path | None, typer.Option("--output", "-o", help="The .tflite file; its card goes beside it.")
    ] = None,
    recordings: Annotated[
        Path | None, typer.Option(help="Learn from these too: a folder of `edgetrack-agent run --record`.")
    ] = None,
    examples: Annotated[int | None, typer.Option(help="Generated trajectories.")] = None,
    epochs: Annotated[int | None, typer.Option(help="Passes over everything.")] = None,
    units: Annotated[int | None, typer.Option(help="Size of the hidden state.")] = None,
    cell: Annotated[Cell | None, typer.Option(help="Of the recurrent layer.")] = None,
    seed: Annotated[int | None, typer.Option(help="Of everything that is drawn.")] = None,
    config: ConfigFile = None,
    override: Overrides = None,
) -> None:
    """Train the tracker's motion model, convert it to int8; a killed training goes on when called again."""
    from models.training.motion_settings import MotionTraining

    named = {
        "output": output, "recordings": recordings, "examples": examples, "epochs": epochs, "units": units,
        "cell": cell, "seed": seed,
    }  # fmt: skip
    given = [f"{key}={json.dumps(str(value))}" for key, value in named.items() if value is not None]
    settings = read_settings(MotionTraining, config, [*(override or []), *given])
    quiet_tensorflow()
    from models.motion.recordings import described
    from models.training.motion_data import load_motion_data

    with progress() as step:
        data = load_motion_data(settings, lambda name, total: step(f"read {name}", total))
    for line in described(data.recordings):
        print(line)
    from models.training.motion import train_motion

    with progress() as step:
        done = train_motion(settings, data, step)
    for score in done.scores:
        _print_scores(score)
    print(f"{done.model}: {done.model.stat().st_size / 1000:.0f} KB, {done.epochs} epochs; {settings.folder}")


def _print_scores(score: ForecastScores) -> None:
    """Errors of the filter alone, and with the model, on something that was held out."""
    from agent.track.motion_lstm import HORIZONS_S

    title = f"{score.name}, held out ({score.examples}): FDE, box heights"
    print(f"{title:<48}", *(f"{f'{horizon:g} s':>8}" for horizon in HORIZONS_S))
    rows = {"Kalman": score.kalman, "Kalman + model": score.floating, "Kalman + model, int8": score.int8}
    for name, values in rows.items():
        print(f"  {name:<46}", *(f"{value:8.4f}" for value in values))
