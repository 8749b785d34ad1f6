"""`edgetrack-models train`, `scene`, `crops`, `identities` and `evaluate` of what is trained here.

`models.cli` registers them; whatever is heavy is imported inside the command that needs it.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated

import typer

from agent.errors import ConfigError
from models.training.action_commands import evaluate_action_command, scene_actions, train_action_command
from models.training.crop_command import crops
from models.training.embedding_commands import (
    evaluate_embedding_command,
    identities,
    train_embedding_command,
)
from models.training.options import ConfigFile, Overrides, progress, quiet_tensorflow, read_settings

_OPTIONS = {"help_option_names": ["-h", "--help"]}
scene = typer.Typer(
    help="Generate labelled video and data sets.", no_args_is_help=True, context_settings=_OPTIONS
)


def register(app: typer.Typer, train: typer.Typer, evaluate: typer.Typer) -> None:
    """Add the commands of this module to the program's."""
    app.add_typer(scene, name="scene")
    app.command("crops")(crops)
    train.command("detector")(train_detector_command)
    train.command("classifier")(train_classifier_command)
    evaluate.command("classification")(evaluate_classification_command)
    scene.command("actions")(scene_actions)
    train.command("action")(train_action_command)
    evaluate.command("action")(evaluate_action_command)
    app.command("identities")(identities)
    train.command("embedding")(train_embedding_command)
    evaluate.command("embedding")(evaluate_embedding_command)


def train_detector_command(config: ConfigFile = None, override: Overrides = None) -> None:
    """Train a detector from YOLO, VOC, COCO or text labels; a killed training goes on when called again."""
    from models.training.detector_settings import DetectorTraining

    settings = read_settings(DetectorTraining, config, override or [])
    quiet_tensorflow()
    from models.training.detector import train_detector

    with progress() as step:
        done = train_detector(settings, step)
    print(
        f"{done.model}: AP50 {done.ap50:.3f} on {settings.held_out}, {done.epochs} epochs; spec {done.spec}"
    )


def train_classifier_command(config: ConfigFile = None, override: Overrides = None) -> None:
    """Train a classifier from an .npz or a folder of classes; a killed training goes on when called again."""
    from models.training.classifier_settings import ClassifierTraining

    settings = read_settings(ClassifierTraining, config, override or [])
    quiet_tensorflow()
    from models.training.classifier import train_classifier

    with progress() as step:
        done = train_classifier(settings, step)
    print(f"{done.model}: accuracy {done.accuracy:.4f}, {done.epochs} epochs; spec {done.spec}")


def evaluate_classification_command(
    model: Annotated[Path, typer.Option("--model", "-m", help="A .tflite file, its ModelSpec beside it.")],
    data: Annotated[Path, typer.Option("--data", "-d", help=".npz, or folder of classes.")],
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON instead of a table.")] = False,
) -> None:
    """Accuracy, precision, recall, F1 and confusion matrix, through the agent's own runtime."""
    from agent.vision.model_spec import load_spec, spec_path
    from models.data.classification_set import load_classification_set
    from models.evaluate.classification import evaluate_bundle

    spec = load_spec(spec_path(model))
    size = (spec.input.width, spec.input.height) if spec.input else None
    scores = evaluate_bundle(model, load_classification_set(data, size, spec.labels))
    if as_json:
        print(json.dumps(scores.as_dict(), indent=2))
        return
    print(f"{'class':<20} {'precision':>9} {'recall':>9} {'F1':>9}")
    for label, *values in zip(scores.labels, scores.precision, scores.recall, scores.f1, strict=True):
        print(f"{label:<20} " + " ".join(f"{value:9.4f}" for value in values))
    pictures = int(scores.confusion.sum())
    print(f"accuracy {scores.accuracy:.4f}, macro F1 {scores.f1.mean():.4f}, {pictures} pictures")
    print("confusion matrix, rows true, columns found:")
    for row in scores.confusion.tolist():
        print(" ".join(f"{count:6d}" for count in row))


@scene.command("demo")
def scene_demo(
    output: Annotated[
        Path, typer.Option("--output", "-o", help="Folder for street.mp4 and street.json.")
    ] = Path("agent/demo"),
    seed: Annotated[int, typer.Option(help="Of clothes, textures and noise.")] = 11,
) -> None:
    """Make the demo's video and its truth."""
    from models.data.demo_clip import write_demo_clip

    if not output.is_dir():
        raise ConfigError(str(output), "expected a folder, got none", "make it first")
    made = write_demo_clip(output, seed)
    print(f"{output / 'street.mp4'}: {made['frames']} frames, expected {made['expected']}")


@scene.command("dataset")
def scene_dataset(
    output: Annotated[Path, typer.Option("--output", "-o", help="New folder, COCO labels.")],
    scenes: Annotated[int, typer.Option(min=1, help="Different scenes.")] = 400,
    frames: Annotated[int, typer.Option(min=1, help="Pictures of each.")] = 7,
    seed: Annotated[int, typer.Option(help="Of the first scene; the others follow it.")] = 0,
    size: Annotated[
        list[str] | None, typer.Option(help="WIDTHxHEIGHT to draw from; may be repeated.")
    ] = None,
    min_side_px: Annotated[
        float, typer.Option(help="Smaller objects count neither as right nor as wrong.")
    ] = 4.0,
) -> None:
    """Make pictures of random scenes with boxes, track ids, actions and visibility."""
    from models.data.generated import GeneratedSet, write_generated_set

    defaults = GeneratedSet(scenes)
    sizes = tuple(_size(text) for text in size) if size else defaults.sizes
    wanted = GeneratedSet(scenes, frames, seed, sizes, min_side_px=min_side_px)
    with progress() as step:
        count = write_generated_set(output, wanted, on_scene=lambda _: step("scenes", scenes))
    print(f"{output}: {count} pictures of {scenes} scenes")


def _size(text: str) -> tuple[int, int]:
    width, _, height = text.lower().partition("x")
    if not (width.isdigit() and height.isdigit() and int(width) >= 32 and int(height) >= 32):
        raise ConfigError("--size", f"expected WIDTHxHEIGHT of 32 px or more, got {text!r}")
    return int(width), int(height)
