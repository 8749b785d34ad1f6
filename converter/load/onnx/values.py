"""What flows along the edges of an ONNX graph while it is rebuilt in TensorFlow.

An operand is one of three things: a constant (NumPy), a `Value` (a tensor, mostly channels last), or a
`Moved` (data movement that has been written down but not done). ONNX exporters spell channel shuffles, Focus
layers and heads as chains of Reshape, Transpose, Gather and Slice; executed one by one in NHWC each would
cost a transpose. Written down as an index array, the whole chain mostly turns out to be one reshape, one
slice or one convolution with ones and zeros as weights, all of which an Edge TPU runs and int8 represents
without loss.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

Tensor: TypeAlias = Any
"""A symbolic `tf.Tensor` with a static shape."""


@dataclass(frozen=True, eq=False)
class Value:
    """A tensor of the TensorFlow graph.

    Args:
        tensor: logical axes in order, or, `channels_last`, (N, *spatial, C) for logical (N, C, *spatial).
        channels_last: see above; only for rank 3 and more.
        nonnegative: no element can be below 0, so zero padding is as good as -inf before a maximum.
    """

    tensor: Tensor
    channels_last: bool = False
    nonnegative: bool = False

    @property
    def shape(self) -> tuple[int, ...]:
        """Logical shape, as ONNX sees it."""
        physical = tuple(int(size) for size in self.tensor.shape)
        return (physical[0], physical[-1], *physical[1:-1]) if self.channels_last else physical

    @property
    def rank(self) -> int:
        """Number of axes."""
        return len(self.tensor.shape)

    def axis(self, logical: int) -> int:
        """The tensor's axis that holds a logical one; negative ones count from the end."""
        logical %= self.rank
        if not self.channels_last or logical == 0:
            return logical
        return self.rank - 1 if logical == 1 else logical - 1

    def positions(self) -> NDArray[np.int32]:
        """For every logical index where its element lies in the tensor's memory; logical shape."""
        physical = np.arange(np.prod(self.tensor.shape), dtype=np.int32).reshape(self.tensor.shape)
        return np.moveaxis(physical, -1, 1) if self.channels_last else physical


Replay: TypeAlias = Callable[[Tensor], Tensor]


@dataclass(frozen=True, eq=False)
class Moved:
    """Elements of a `Value` in another arrangement, not yet arranged.

    Args:
        source: where the elements come from.
        index: logical shape of the result; each entry the logical, flat index in `source`.
        replay: does the same step by step to the source's tensor in logical order; the last resort.
        cache: holds the arranged value once one was asked for.
    """

    source: Value
    index: NDArray[np.int32]
    replay: Replay
    cache: list[Value] = field(default_factory=list)

    @classmethod
    def of(cls, value: Value) -> Moved:
        """All elements where they are."""
        count = int(np.prod(value.shape))
        return cls(value, np.arange(count, dtype=np.int32).reshape(value.shape), lambda tensor: tensor)

    @property
    def shape(self) -> tuple[int, ...]:
        """Logical shape."""
        return self.index.shape

    @cached_property
    def positions(self) -> NDArray[np.int32]:
        """Where each element lies in the source tensor's memory; the result's logical shape."""
        positions: NDArray[np.int32] = self.source.positions().reshape(-1)[self.index]
        return positions

    @cached_property
    def whole(self) -> bool:
        """Every element of the source is there, once."""
        size = self.index.size
        return size == np.prod(self.source.shape) and len(np.unique(self.index)) == size

    def on(self, source: Value) -> Moved:
        """The same movement of another value of the source's logical shape."""
        return Moved(source, self.index, self.replay)

    def then(self, move: Callable[[NDArray[np.int32]], NDArray[np.int32]], replay: Replay) -> Moved:
        """One more movement after the ones so far: `move` on the index array, `replay` on a tensor."""
        before = self.replay
        return Moved(self.source, move(self.index), lambda tensor: replay(before(tensor)))


Constant: TypeAlias = NDArray[Any]
Operand: TypeAlias = "Value | Moved | Constant"


def shape_of(operand: Operand) -> tuple[int, ...]:
    """Logical shape of any operand."""
    return tuple(operand.shape)
