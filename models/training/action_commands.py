"""`edgetrack-models scene actions`, `train action` and `evaluate action`; `training.commands` adds them."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated

import typer

from agent.errors import ConfigError
from models.training.options import ConfigFile, Overrides, progress, quiet_tensorflow, read_settings


def scene_actions(
    output: Annotated[Path, typer.Option("--output", "-o", help=".npz file.")],
    scenes: Annotated[int, typer.Option(min=1, help="Different scenes.")] = 400,
    seed: Annotated[int, typer.Option(help="Of the first scene; the others follow it.")] = 0,
    detector: Annotated[
        str | None,
        typer.Option(help="Render the scenes and track what this sees: a .tflite file, or `motion`."),
    ] = None,
) -> None:
    """Make examples of what tracked people do; without --detector from boxes that err as detectors do."""
    from models.actions.example_file import save_examples
    from models.actions.examples import generated_examples

    with progress() as step:

        def on_scene() -> None:
            step("scenes", scenes)

        if detector is None:
            examples = generated_examples(scenes, seed, on_scene=on_scene)
        else:
            from agent.detect.settings import DetectorSettings
            from models.actions.rendered import rendered_examples

            if detector == "motion":
                settings = DetectorSettings(kind="motion")
            elif Path(detector).is_file():
                settings = DetectorSettings(model=Path(detector))
            else:
                raise ConfigError("--detector", f"expected a .tflite file or motion, got {detector!r}")
            examples = rendered_examples(scenes, seed, settings, on_scene=on_scene)
    save_examples(output, examples)
    print(f"{output}: {len(examples)} examples of {len(set(examples.tracks.tolist()))} tracks")


def train_action_command(config: ConfigFile = None, override: Overrides = None) -> None:
    """Train an action model (lstm, gru, tcn, conv3d); a killed training goes on when called again."""
    from models.training.action_settings import ActionTraining

    settings = read_settings(ActionTraining, config, override or [])
    quiet_tensorflow()
    from models.training.action import train_action

    with progress() as step:
        done = train_action(settings, step)
    print(f"{done.model}: macro F1 {done.macro_f1:.4f}, {done.epochs} epochs; spec {done.spec}")


def evaluate_action_command(
    model: Annotated[Path, typer.Option("--model", "-m", help="A .tflite file, its ModelSpec beside it.")],
    data: Annotated[Path, typer.Option("--data", "-d", help=".npz of `scene actions`.")],
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON instead of a table.")] = False,
) -> None:
    """F1 and confusion matrix of an action model, through the agent's own runtime."""
    from models.actions.example_file import load_examples
    from models.evaluate.action import evaluate_action_model

    scores = evaluate_action_model(model, load_examples(data))
    if as_json:
        print(json.dumps(scores.as_dict(), indent=2))
        return
    classes = scores.classes
    print(f"{'action':<20} {'precision':>9} {'recall':>9} {'F1':>9}")
    for label, *values in zip(classes.labels, classes.precision, classes.recall, classes.f1, strict=True):
        print(f"{label:<20} " + " ".join(f"{value:9.4f}" for value in values))
    examples = int(classes.confusion.sum())
    print(
        f"macro F1 {classes.f1.mean():.4f}, {examples} examples, {scores.ms_per_track:.3f} ms a track, "
        f"{scores.size_kb:.0f} KB"
    )
    print("confusion matrix, rows true, columns found:")
    for row in classes.confusion.tolist():
        print(" ".join(f"{count:6d}" for count in row))
