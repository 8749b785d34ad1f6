"""`edgetrack-models identities`, `train embedding`, `evaluate embedding`; `training.commands` adds them."""

from __future__ import annotations

import json
from dataclasses import asdict
from pathlib import Path
from typing import Annotated

import typer

from agent.errors import ConfigError
from models.training.options import ConfigFile, Overrides, progress, quiet_tensorflow, read_settings


def identities(
    output: Annotated[Path, typer.Option("--output", "-o", help=".npz file.")],
    scenes: Annotated[int, typer.Option(min=1, help="Different generated scenes.")] = 300,
    frames: Annotated[int, typer.Option(min=2, help="Pictures of each.")] = 8,
    seed: Annotated[int, typer.Option(help="Of the first scene; the others follow it.")] = 0,
    video: Annotated[Path | None, typer.Option(help="A video, instead of generated scenes.")] = None,
    gt: Annotated[
        Path | None, typer.Option("--gt", help="Its truth: MOTChallenge's gt.txt, with ids.")
    ] = None,
    every: Annotated[int, typer.Option(min=1, help="Use every n-th frame of the video.")] = 10,
) -> None:
    """Cut out objects together with who they are, for `train embedding` and `evaluate embedding`."""
    from models.data.identities import (
        GeneratedSightings,
        cut_identities,
        generated_sightings,
        save_identities,
    )
    from models.evaluate.embedding import video_sightings

    if (video is None) != (gt is None):
        raise ConfigError("identities", "expected --video and --gt together, got one of them")
    if video is not None and gt is not None:
        sightings, total = video_sightings(video, gt, every), 0
    else:
        sightings = generated_sightings(GeneratedSightings(scenes, frames, seed))
        total = scenes * frames
    with progress() as step:
        data = cut_identities(sightings, seed=seed, on_picture=lambda: step("pictures", total))
    save_identities(output, data)
    print(f"{output}: {len(data)} crops of {len(data.labels)} identities")


def train_embedding_command(config: ConfigFile = None, override: Overrides = None) -> None:
    """Train an embedding from crops with identities; a killed training goes on when called again."""
    from models.training.embedding_settings import EmbeddingTraining

    settings = read_settings(EmbeddingTraining, config, override or [])
    quiet_tensorflow()
    from models.training.embedding import train_embedding

    with progress() as step:
        done = train_embedding(settings, step)
    print(f"{done.model}: mAP {done.mean_ap:.4f}, {done.epochs} epochs; spec {done.spec}")


def evaluate_embedding_command(
    model: Annotated[
        Path, typer.Option("--model", "-m", help="A .tflite file, its ModelSpec beside it, or a .keras file.")
    ],
    data: Annotated[
        Path, typer.Option("--data", "-d", help=".npz of `identities`, or a folder of identities.")
    ],
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON instead of a table.")] = False,
) -> None:
    """Rank-1 and mAP: each crop looks for its identity among the others, in its own scene and in all."""
    if model.suffix == ".keras":
        quiet_tensorflow()
    from models.evaluate.embedding import evaluate_embedding

    scores = evaluate_embedding(model, data)
    if as_json:
        print(json.dumps({name: asdict(score) for name, score in scores.items()}, indent=2))
        return
    print(f"{'gallery':<16} {'queries':>8} {'rank-1':>7} {'mAP':>7} {'chance':>7}")
    for name, score in scores.items():
        numbers = f"{score.rank1:7.3f} {score.mean_ap:7.3f} {score.chance:7.3f}"
        print(f"{name:<16} {score.queries:8d} {numbers}")
