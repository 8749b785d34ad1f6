"""Why an operator stays on the CPU, and what to do about it."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Reason:
    """One obstacle.

    Args:
        code: short and stable, for programs: "unsupported", "version", "dynamic-shape", "data-type" …
        text: what is wrong with this operator.
        advice: what to do; may be empty.
    """

    code: str
    text: str
    advice: str = ""


UNSUPPORTED_ADVICE: dict[str, str] = {
    "ABS": "write it as MAXIMUM(x, -1·x)",
    "ARG_MAX": "leave it to the program that reads the scores",
    "ARG_MIN": "leave it to the program that reads the scores",
    "BATCH_MATMUL": "use a FULLY_CONNECTED or 1×1 CONV_2D with constant weights",
    "BATCH_TO_SPACE_ND": "use the dilation of the convolution itself; newer converters fold it",
    "BROADCAST_TO": "let ADD or MUL broadcast by themselves",
    "CAST": "give the model int8 or uint8 inputs, and leave casts of outputs to the reader",
    "CONV_3D": "put the frames into channels and use 2-D convolutions",
    "CUMSUM": "multiply by a constant triangular matrix (FULLY_CONNECTED)",
    "DEPTH_TO_SPACE": "use TRANSPOSE_CONV or RESIZE_NEAREST_NEIGHBOR with a convolution",
    "DEQUANTIZE": "keep the model in int8 up to its output, and dequantise outside of it",
    "DIV": "multiply by the reciprocal where the divisor is constant",
    "ELU": "train with RELU or RELU6",
    "EXP": "leave it to the program that reads the outputs, or use LOGISTIC",
    "GATHER": "use STRIDED_SLICE for fixed rows, or leave it to the program that reads the outputs",
    "GATHER_ND": "leave it to the program that reads the outputs",
    "GELU": "train with RELU or RELU6; x·LOGISTIC(1.702·x) is close and maps",
    "HARD_SWISH": "write it as x·RELU6(x + 3)/6, or train with RELU6",
    "IF": "make one model per branch",
    "LEAKY_RELU": "write it as MAXIMUM(x, 0.1·x), or use PRELU or RELU",
    "LOG": "leave it to the program that reads the outputs",
    "MIRROR_PAD": "use PAD with zeros",
    "NEG": "multiply by -1 (MUL), or negate the weights before it",
    "NON_MAX_SUPPRESSION_V4": "leave non-maximum suppression to the program that reads the boxes",
    "NON_MAX_SUPPRESSION_V5": "leave non-maximum suppression to the program that reads the boxes",
    "PADV2": "use PAD, or raise the values before MAX_POOL_2D above 0 so that zeros do no harm",
    "POW": "write it as MUL",
    "SELECT": "write it with MAXIMUM, MINIMUM or MUL",
    "SELECT_V2": "write it with MAXIMUM, MINIMUM or MUL",
    "SHAPE": "convert with a fixed batch of 1, so that shapes become constants",
    "SPACE_TO_BATCH_ND": "use the dilation of the convolution itself; newer converters fold it",
    "SPLIT_V": "use SPLIT with equal parts, or STRIDED_SLICE",
    "SQRT": "write it as x·RSQRT(x)",
    "SQUARE": "write it as MUL(x, x)",
    "TOPK_V2": "leave it to the program that reads the scores",
    "UNPACK": "use SPLIT and RESHAPE; Keras' unroll=True writes UNPACK",
    "WHILE": "unroll the loop with SPLIT, or use the fused UNIDIRECTIONAL_SEQUENCE_LSTM",
}
"""What takes the place of an operator that the Edge TPU lacks."""

GENERAL_ADVICE = "move it to the end of the model, or into the program that reads the outputs"
