"""What an action model's training can be told."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

from pydantic import BeforeValidator, Field

from agent.settings import Section
from models.architectures.kinds import ActionKind

PositiveInt = Annotated[int, Field(ge=1)]


def _one_or_more(given: Any) -> Any:
    return given if isinstance(given, list | tuple) else [given]


Files = Annotated[tuple[Path, ...], BeforeValidator(_one_or_more), Field(min_length=1)]
"""One file, or a list of them."""


class ActionTraining(Section):
    """`edgetrack-models train action --config FILE`."""

    data: Files
    """`.npz` of `edgetrack-models scene actions`; of several all examples are learnt."""
    held_out: Files
    """The same of other scenes; decides when the training ends and which weights are kept."""
    output: Path = Path("runs/action")
    """Folder of the run; a training that was killed goes on from it."""
    kind: ActionKind = ActionKind.LSTM
    """The network."""
    name: str = "action_lstm"
    """Of the bundle."""
    units: Annotated[int, Field(ge=4, le=256)] = 32
    """Size of the hidden state, or channels."""
    tracks: Annotated[int, Field(ge=1, le=256)] = 16
    """Tracks per invocation of the file that ships; 1 for conv3d."""
    epochs: PositiveInt = 20
    batch_size: PositiveInt = 128
    learning_rate: Annotated[float, Field(gt=0.0)] = 4e-3
    """At the peak; rises over the first epoch, then falls as a cosine to 0."""
    weight_decay: Annotated[float, Field(ge=0.0)] = 1e-3
    label_smoothing: Annotated[float, Field(ge=0.0, lt=1.0)] = 0.05
    patience: PositiveInt = 8
    """Epochs without a better F1 after which the training ends."""
    seed: int = 0
    deterministic: bool = False
    """Bit-equal results from the same seed; slower."""
