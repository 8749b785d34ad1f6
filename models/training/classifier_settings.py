"""What a classifier's training can be told."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

from pydantic import Field

from agent.settings import Fraction, Section

PositiveInt = Annotated[int, Field(ge=1)]


class ClassifierTraining(Section):
    """`edgetrack-models train classifier --config FILE`."""

    data: Path
    """`.npz` with x and y, or a folder with a subfolder for every class."""
    held_out: Path | None = None
    """Set to measure on; without one a part of `data` is held back."""
    held_out_part: Annotated[float, Field(gt=0.0, lt=1.0)] = 0.15
    output: Path = Path("runs/classifier")
    """Folder of the run; a training that was killed goes on from it."""
    name: str = "classifier"
    """Of the bundle."""
    width: Annotated[int, Field(ge=8, le=512)] = 32
    """Of the input in px, for folders; an `.npz` brings its own size."""
    height: Annotated[int, Field(ge=8, le=512)] = 32
    stem: PositiveInt = 32
    """Channels of the first convolution."""
    stages: tuple[PositiveInt, ...] = (64, 128, 192)
    """Channels of each stage; a stage halves the picture."""
    blocks: PositiveInt = 1
    """Convolutions with a shortcut in each stage."""
    dropout: Fraction = 0.2
    epochs: PositiveInt = 20
    batch_size: PositiveInt = 64
    learning_rate: Annotated[float, Field(gt=0.0)] = 2e-3
    """At the peak; rises over the first epoch, then falls as a cosine to 0."""
    weight_decay: Annotated[float, Field(ge=0.0)] = 0.02
    label_smoothing: Annotated[float, Field(ge=0.0, lt=1.0)] = 0.05
    flip: bool = False
    """Mirror pictures at random: for things, not for digits."""
    shift_px: Annotated[int, Field(ge=0)] = 2
    """Largest random shift."""
    erase: Fraction = 0.0
    """How often a square of a quarter of the picture's side is greyed (DeVries & Taylor, Cutout, 2017)."""
    mixup: Annotated[float, Field(ge=0.0)] = 0.0
    """Parameter of the beta distribution by which pictures are laid over each other; 0 for not at all."""
    colour: Fraction = 0.0
    """How far brightness, contrast and single colours are changed at random."""
    patience: PositiveInt = 8
    """Epochs without a better accuracy after which the training ends."""
    seed: int = 0
    deterministic: bool = False
    """Bit-equal results from the same seed; slower."""
