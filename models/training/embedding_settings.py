"""What an appearance embedding's training can be told."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

from pydantic import Field

from agent.settings import Fraction, Section

PositiveInt = Annotated[int, Field(ge=1)]


class EmbeddingTraining(Section):
    """`edgetrack-models train embedding --config FILE`."""

    data: Path
    """`.npz` of `edgetrack-models identities`, or a folder with a subfolder for each identity, named
    GROUP-NUMBER: those of one group are told apart in one batch."""
    held_out: Path
    """The same of other scenes; decides when the training ends and which weights are kept."""
    output: Path = Path("runs/appearance")
    """Folder of the run; a training that was killed goes on from it."""
    name: str = "appearance"
    """Of the bundle."""
    width: PositiveInt = 32
    """Of the input in px."""
    height: PositiveInt = 64
    stem: PositiveInt = 16
    """Channels of the first convolution."""
    stages: tuple[PositiveInt, ...] = (32, 64, 128)
    """Channels of each stage; a stage halves the picture."""
    length: PositiveInt = 64
    """Of the vector."""
    groups_per_batch: PositiveInt = 8
    identities_per_group: Annotated[int, Field(ge=2)] = 4
    """At most; a group that has fewer gives those."""
    crops_per_identity: Annotated[int, Field(ge=2)] = 4
    temperature: Annotated[float, Field(gt=0.0)] = 0.1
    """Of the contrastive loss: lower looks harder at the most alike crops of others."""
    epochs: PositiveInt = 20
    learning_rate: Annotated[float, Field(gt=0.0)] = 4e-3
    """At the peak; rises over the first epoch, then falls as a cosine to 0."""
    weight_decay: Annotated[float, Field(ge=0.0)] = 0.01
    flip: bool = True
    """Mirror crops at random."""
    shift_px: Annotated[int, Field(ge=0)] = 3
    """Largest random shift."""
    erase: Fraction = 0.4
    """How often a part of a crop is covered (Zhong et al., Random Erasing, AAAI 2020)."""
    cameras: Fraction = 0.7
    """How far the crops of a scene are changed, all alike, as if by another camera: colours, contrast,
    sharpness. 0 is off."""
    light: Fraction = 0.15
    """How far brightness and contrast are changed at random; colours are what there is to learn."""
    patience: PositiveInt = 8
    """Epochs without a better mAP after which the training ends."""
    seed: int = 0
    deterministic: bool = False
    """Bit-equal results from the same seed; slower."""
