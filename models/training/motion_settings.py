"""What a motion model's training can be told."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

from pydantic import Field, model_validator

from agent.settings import Section
from models.architectures.kinds import Cell

PositiveInt = Annotated[int, Field(ge=1)]


class MotionTraining(Section):
    """`edgetrack-models train motion --config FILE`."""

    output: Path
    """The `.tflite` file; its card goes beside it."""
    run: Path | None = None
    """Folder of the run; a training that was killed goes on from it. Left out: beside the output, `.run`."""
    recordings: Path | None = None
    """A recording of `edgetrack-agent run --record`, or a folder of them, to learn from too."""
    held_out: Path | None = None
    """Other recordings, to measure on. Left out: the last quarter of the time of each of `recordings`."""
    repeat: PositiveInt = 8
    """How often an epoch sees what is recorded; what is generated it sees once."""
    examples: Annotated[int, Field(ge=1000)] = 60000
    """Generated trajectories."""
    cell: Cell = Cell.LSTM
    """Of the recurrent layer."""
    units: Annotated[int, Field(ge=4, le=64)] = 16
    """Size of the hidden state."""
    epochs: PositiveInt = 20
    batch_size: PositiveInt = 256
    learning_rate: Annotated[float, Field(gt=0.0)] = 4e-3
    """At the peak; rises over the first epoch, then falls as a cosine to 0."""
    weight_decay: Annotated[float, Field(ge=0.0)] = 0.0
    patience: PositiveInt = 8
    """Epochs without a better forecast after which the training ends."""
    seed: int = 1
    """Of everything that is drawn."""
    deterministic: bool = False
    """Bit-equal results from the same seed; slower."""

    @property
    def folder(self) -> Path:
        """The run's folder."""
        return self.run or self.output.with_suffix(".run")

    @model_validator(mode="after")
    def _check(self) -> MotionTraining:
        if self.held_out is not None and self.recordings is None:
            raise ValueError("expected recordings to learn from beside held_out, got none")
        return self
