"""`edgetrack-models crops`; `training.commands` adds it."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from models.training.options import progress


def crops(
    data: Annotated[Path, typer.Option("--data", "-d", help="Labelled pictures: YOLO, VOC, COCO or text.")],
    output: Annotated[Path, typer.Option("--output", "-o", help="New folder, a subfolder for each class.")],
    only: Annotated[list[str] | None, typer.Option(help="Class to cut out; may be repeated.")] = None,
    size_px: Annotated[int, typer.Option(min=8, max=512, help="Side of a piece.")] = 64,
    min_side_px: Annotated[float, typer.Option(help="Smaller objects are left out.")] = 16.0,
    backgrounds: Annotated[int, typer.Option(min=0, help="Pieces without an object, of each picture.")] = 1,
    seed: Annotated[int, typer.Option(help="Of the places of those.")] = 0,
) -> None:
    """Cut objects and background out of labelled pictures: a folder of classes for `train classifier`."""
    from models.data.crops import write_crops
    from models.data.formats import load_detection_set

    found = load_detection_set(data)
    found = found.only(only) if only else found
    with progress() as step:
        counts = write_crops(
            found, output, size_px=size_px, min_side_px=min_side_px, backgrounds=backgrounds, seed=seed,
            on_picture=lambda: step("pictures", len(found)),
        )  # fmt: skip
    print(f"{output}: " + ", ".join(f"{count} {label}" for label, count in counts.items()))
