"""Action models: what a track does, from how its box moved; four networks under one interface.

    (batch, STEPS, tracks, FEATURES) → (batch, 1, tracks, classes) logits

| kind | what it is | source |
| --- | --- | --- |
| lstm, gru | one recurrent layer, its last state | see `models.architectures.recurrent` |
| tcn | three causal convolutions along time, dilations 1, 2, 4, then their mean | Bai et al., An Empirical
Evaluation of Generic Convolutional and Recurrent Networks for Sequence Modeling, 2018 |
| conv3d | convolutions over time and place of the box drawn as a picture | Tran et al., Learning
Spatiotemporal Features with 3D Convolutional Networks, ICCV 2015 |

The first three keep tracks side by side like the pixels of a row, so that one invocation of a batch of 1
serves many. Conv3D reads `occupancy_maps` of one track: (batch, STEPS, MAP, MAP, 1) → (batch, classes).
All operators are ones that the Edge TPU takes, for which the softmax is left to the caller.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from agent.actions.history import FEATURES, STEPS
from agent.sequence_model import Float64Array
from models.architectures.kinds import ActionKind, Cell
from models.architectures.recurrent import run_cell

UNITS = 32
MAP = 16
"""Side of an occupancy map in cells."""
_MAP_LENGTHS = 3.0
"""Side of an occupancy map in lengths of the object, whose feet now are in the middle of its lower third."""


def build_action_model(
    kind: ActionKind, classes: int, tracks: int = 1, units: int = UNITS, batch: int | None = None
) -> Any:
    """The network, weights at random.

    Args:
        kind: which.
        classes: number of actions.
        tracks: side by side in one invocation; 1 for conv3d.
        units: size of the hidden state, or channels.
        batch: None for training; 1 for the file that ships.

    Returns:
        keras.Model from features, or for conv3d from maps, to logits.
    """
    import keras
    from keras import layers

    if kind is ActionKind.CONV3D:
        return _conv3d(classes, units, batch)
    source = keras.Input(batch_shape=(batch, STEPS, tracks, FEATURES), name="observations")
    if kind is ActionKind.TCN:
        x = source
        for number, dilation in enumerate((1, 2, 4), 1):
            x = layers.ZeroPadding2D(((2 * dilation, 0), (0, 0)))(x)  # causal
            # One column needs no dilation across; the Edge TPU takes equal dilations only.
            x = layers.Conv2D(
                units, (3, 1), dilation_rate=dilation, activation="relu", name=f"temporal{number}"
            )(x)  # (batch, STEPS, tracks, units)
        hidden = layers.AveragePooling2D((STEPS, 1))(x)  # (batch, 1, tracks, units)
    else:
        hidden = run_cell(Cell(kind.value), source, units)
    logits = layers.Conv2D(classes, 1, name="logits")(hidden)
    return keras.Model(source, logits, name=f"action_{kind}")


def _conv3d(classes: int, units: int, batch: int | None) -> Any:
    import keras
    from keras import layers

    source = keras.Input(batch_shape=(batch, STEPS, MAP, MAP, 1), name="maps")  # (batch, 24, 16, 16, 1)
    x = layers.Conv3D(units // 4, 3, strides=(1, 2, 2), padding="same", activation="relu")(source)
    x = layers.MaxPooling3D((2, 1, 1))(x)  # (batch, 12, 8, 8, 8)
    x = layers.Conv3D(units // 2, 3, strides=(1, 2, 2), padding="same", activation="relu")(x)
    x = layers.MaxPooling3D((2, 1, 1))(x)  # (batch, 6, 4, 4, 16)
    x = layers.Conv3D(units, 3, strides=(1, 2, 2), padding="same", activation="relu")(x)
    x = layers.Flatten()(x)  # (batch, 6 · 2 · 2 · 32)
    return keras.Model(source, layers.Dense(classes, name="logits")(x), name="action_conv3d")


def occupancy_maps(features: Float64Array) -> Float64Array:
    """The boxes of each track as pictures: the share of each cell that the box covers.

    Args:
        features: (N, STEPS, FEATURES), as the agent makes them.

    Returns:
        (N, STEPS, MAP, MAP, 1); the track's place now is the same in all, steps without sight are empty.
    """
    x, y = features[..., 5], features[..., 6]  # feet from where they are now, in lengths
    seen = features[..., 8] > 0.5
    # The length now is the unit; the height over it follows from the box's shape and its height by then.
    height_now = np.exp(-np.maximum(features[:, -1, 4], 0.0))[:, None]
    height = height_now * np.exp(features[..., 7] - features[:, -1:, 7])
    width = height * np.exp(features[..., 4])
    edges = (np.arange(MAP + 1) / MAP) * _MAP_LENGTHS
    columns = _covered(x - width / 2 + _MAP_LENGTHS / 2, x + width / 2 + _MAP_LENGTHS / 2, edges)
    rows = _covered(y - height + _MAP_LENGTHS * 2 / 3, y + _MAP_LENGTHS * 2 / 3, edges)
    maps: Float64Array = rows[..., :, None] * columns[..., None, :] * seen[..., None, None]
    return maps.reshape(*maps.shape, 1)


def _covered(start: Float64Array, end: Float64Array, edges: Float64Array) -> Float64Array:
    """(…, MAP) share of each cell between `edges` that lies from start to end, both (…)."""
    low = np.maximum(start[..., None], edges[:-1])
    high = np.minimum(end[..., None], edges[1:])
    share: Float64Array = np.clip((high - low) / (edges[1] - edges[0]), 0.0, 1.0)
    return share
