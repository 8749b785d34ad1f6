"""Gemm and MatMul."""

from __future__ import annotations

import numpy as np
import tensorflow as tf

from converter.load.onnx.arrange import plain, value_of
from converter.load.onnx.node import Node
from converter.load.onnx.values import Constant, Moved, Operand, Tensor, Value


def gemm(node: Node, inputs: list[Operand | None]) -> Operand:
    """Gemm with constant weights: alpha · x · W + beta · b."""
    if node.get("transA", 0):
        node.fail("expected a first operand that is not transposed")
    weights = node.constant(inputs[1], "weights").astype(np.float32)
    weights = weights.T if node.get("transB", 0) else weights  # (in, out)
    result = _dense(node.given(inputs, 0), weights * np.float32(node.get("alpha", 1.0)))
    if len(inputs) > 2 and inputs[2] is not None:
        bias = node.constant(inputs[2], "a bias").astype(np.float32) * np.float32(node.get("beta", 1.0))
        result = result + bias.reshape(-1) if bias.size == weights.shape[1] else result + bias
    return Value(result)


def matmul(node: Node, inputs: list[Operand | None]) -> Operand:
    """MatMul; with a constant matrix on the right it is a dense layer."""
    first, second = node.given(inputs, 0), node.given(inputs, 1)
    if isinstance(second, np.ndarray) and second.ndim == 2:
        weights = second.astype(np.float32)
        if len(first.shape) == 2:
            return Value(_dense(first, weights))
        shape = first.shape
        rows = tf.reshape(plain(first), [-1, shape[-1]])
        return Value(tf.reshape(tf.matmul(rows, weights), [*shape[:-1], weights.shape[1]]))
    return Value(tf.matmul(plain(value_of(first)), plain(value_of(second))))


def _dense(operand: Operand, weights: Constant) -> Tensor:
    """x · W for x (1, in) and W (in, out).

    A flattened picture is not transposed back to C, H, W order: its elements are taken as they lie in memory,
    and the rows of W are put in that order instead.
    """
    if isinstance(operand, Moved) and operand.shape[0] == 1 and operand.whole:
        permuted = np.empty_like(weights)
        permuted[operand.positions.reshape(-1)] = weights
        return tf.matmul(tf.reshape(operand.source.tensor, [1, -1]), permuted)
    return tf.matmul(plain(operand), weights)
