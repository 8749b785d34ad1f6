"""Which networks there are; imports nothing heavy."""

from __future__ import annotations

from enum import StrEnum


class Cell(StrEnum):
    """Kinds of recurrent layers."""

    LSTM = "lstm"
    GRU = "gru"


class ActionKind(StrEnum):
    """Kinds of action models."""

    LSTM = "lstm"
    GRU = "gru"
    TCN = "tcn"
    CONV3D = "conv3d"
