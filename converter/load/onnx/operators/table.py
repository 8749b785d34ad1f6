"""Every ONNX operator that can be imported, and the function that does it.

What is not here is named with its node when a model holds it. Graph constants are folded before, so operators
on shapes (Shape, Cast, ConstantOfShape, Range …) need no entry.
"""

from __future__ import annotations

from collections.abc import Mapping

import tensorflow as tf

from converter.load.onnx.node import Operator
from converter.load.onnx.operators import (
    convolution,
    elementwise,
    linear,
    movement,
    pooling,
    recurrent,
    resize,
)
from converter.load.onnx.operators.elementwise import binary, unary

OPERATORS: Mapping[str, Operator] = {
    "Conv": convolution.convolution,
    "ConvTranspose": convolution.transposed_convolution,
    "Gemm": linear.gemm,
    "MatMul": linear.matmul,
    "LSTM": recurrent.lstm,
    "GRU": recurrent.gru,
    "BatchNormalization": elementwise.batch_normalization,
    "MaxPool": pooling.max_pool,
    "AveragePool": pooling.average_pool,
    "GlobalAveragePool": pooling.global_average_pool,
    "GlobalMaxPool": pooling.global_max_pool,
    "ReduceMean": pooling.reduce_mean,
    "Relu": unary(tf.nn.relu, nonnegative=True),
    "Sigmoid": unary(tf.nn.sigmoid, nonnegative=True),
    "Tanh": unary(tf.nn.tanh),
    "Exp": unary(tf.exp, nonnegative=True),
    "Sqrt": unary(tf.sqrt, nonnegative=True),
    "Abs": unary(tf.abs, nonnegative=True),
    "Neg": unary(tf.negative),
    "Softplus": unary(tf.nn.softplus, nonnegative=True),
    "Elu": unary(tf.nn.elu),
    "LeakyRelu": elementwise.leaky_relu,
    "PRelu": elementwise.prelu,
    "HardSigmoid": elementwise.hard_sigmoid,
    "HardSwish": elementwise.hard_swish,
    "Clip": elementwise.clip,
    "Pow": elementwise.power,
    "Softmax": elementwise.softmax,
    "Add": binary(tf.add, keeps_sign=True),
    "Sub": binary(tf.subtract),
    "Mul": binary(tf.multiply, keeps_sign=True),
    "Div": binary(tf.divide, keeps_sign=True),
    "Max": binary(tf.maximum, keeps_sign=True),
    "Min": binary(tf.minimum, keeps_sign=True),
    "Identity": elementwise.identity,
    "Dropout": elementwise.identity,
    "Reshape": movement.reshape,
    "Flatten": movement.flatten,
    "Squeeze": movement.squeeze,
    "Unsqueeze": movement.unsqueeze,
    "Transpose": movement.transpose,
    "Gather": movement.gather,
    "Slice": movement.slice_,
    "Split": movement.split,
    "Concat": movement.concat,
    "Pad": movement.pad,
    "SpaceToDepth": movement.space_to_depth,
    "DepthToSpace": movement.depth_to_space,
    "Resize": resize.resize,
    "Upsample": resize.resize,
}
