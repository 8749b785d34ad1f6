"""What a detector's training can be told."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

from pydantic import Field

from agent.settings import Fraction, Section

PositiveInt = Annotated[int, Field(ge=1)]
PositiveFloat = Annotated[float, Field(gt=0.0)]


class DetectorTraining(Section):
    """`edgetrack-models train detector --config FILE`."""

    data: Path
    """Training set: a folder in one of the label formats."""
    held_out: Path
    """Set to measure on while training; must not share pictures with `data`."""
    output: Path = Path("runs/detector")
    """Folder of the run; a training that was killed goes on from it."""
    labels: tuple[str, ...] = ()
    """Classes to learn, by the names in the data; empty for all."""
    start_from: Path | None = None
    """Keras file of a detector whose weights the training begins with, layer by layer where the names and
    shapes are the same."""
    name: str = "detector"
    """Of the bundle."""
    width: Annotated[int, Field(ge=64, multiple_of=32)] = 320
    height: Annotated[int, Field(ge=64, multiple_of=32)] = 192
    stem: PositiveInt = 16
    """Channels after the first convolution."""
    stages: tuple[PositiveInt, PositiveInt, PositiveInt, PositiveInt] = (32, 72, 144, 208)
    """Channels at strides 4, 8, 16 and 32."""
    depths: tuple[PositiveInt, PositiveInt, PositiveInt, PositiveInt] = (1, 3, 4, 2)
    """Blocks in each of these stages."""
    neck: PositiveInt = 72
    """Channels of the pyramid and the heads."""
    fine: Annotated[int, Field(ge=0)] = 0
    """Channels of the pyramid and the heads at stride 4, for objects of few pixels; 0 for none."""
    epochs: PositiveInt = 40
    batch_size: PositiveInt = 16
    learning_rate: PositiveFloat = 1e-2
    """At the peak, after the warm-up; falls as a cosine to a hundredth."""
    weight_decay: Annotated[float, Field(ge=0.0)] = 0.02
    warmup_steps: Annotated[int, Field(ge=0)] = 200
    mosaic: Fraction = 0.2
    """Part of the pictures that are put together from four."""
    zoom: tuple[PositiveFloat, PositiveFloat] = (0.7, 1.6)
    """Least and largest random factor on the scale at which a picture fits the input."""
    clutter: Fraction = 0.0
    """Part of the pictures in which posts, signs, boxes and patches are drawn that are no object."""
    plain_epochs: Annotated[int, Field(ge=0)] = 2
    """Last epochs without augmentation: the network ends on pictures as it will see them."""
    measure_every: PositiveInt = 2
    """Epochs between two measurements on the held-out set."""
    patience: PositiveInt = 5
    """Measurements without a better AP50 after which the training ends."""
    most_objects: PositiveInt = 24
    """In one picture, mosaics included."""
    seed: int = 0
    deterministic: bool = False
    """Bit-equal results from the same seed; slower. Without it the order of sums may differ."""
