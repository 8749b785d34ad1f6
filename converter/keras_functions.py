"""TensorFlow functions that a Keras 2 file may call: those that compute, and touch nothing else.

Keras 2 keeps `tf.concat(…)` of a tensor as a layer of class TFOpLambda with the function's public name, and
calls any function of such a name while the file is opened: `io.write_file` as well.
"""

from __future__ import annotations

CALLING_CLASSES = frozenset({"TFOpLambda", "SlicingOpLambda"})
"""Layers that hold the name of a function in "function"."""
REFUSED_CLASSES = frozenset(
    {"ClassMethod", "InstanceMethod", "InstanceProperty", "TensorFlowOpLayer", "TensorFlowOp"}
)
"""Layers that take any attribute or operator by its name. Keras writes the first three for ragged and sparse
tensors only, which TFLite has not; the others are of TensorFlow before 2.4.
"""
_FAMILIES = (
    "__operators__.",
    "bitwise.",
    "image.",
    "linalg.",
    "math.",
    "nn.",
    "quantization.",
    "signal.",
)
_SINGLE = frozenset(
    [
        "abs", "add", "add_n", "all", "any", "argmax", "argmin", "argsort", "batch_dot", "batch_flatten",
        "batch_to_space", "boolean_mask", "broadcast_to", "cast", "clip", "clip_by_norm", "clip_by_value",
        "concat", "concatenate", "constant", "convert_to_tensor", "cos", "cumsum", "divide", "dot",
        "dynamic_partition", "dynamic_stitch", "einsum", "elu", "ensure_shape", "equal", "exp",
        "expand_dims", "exponential", "eye", "fill", "flatten", "floor", "gather", "gather_nd", "gelu",
        "greater", "greater_equal", "hard_sigmoid", "identity", "l2_normalize", "less", "less_equal",
        "linear", "linspace", "logical_and", "logical_not", "logical_or", "matmul", "max", "maximum",
        "mean", "meshgrid", "min", "minimum", "mish", "multiply", "negative", "norm", "not_equal",
        "one_hot", "ones", "ones_like", "pad", "permute_dimensions", "pow", "prod", "range", "rank",
        "realdiv", "reduce_all", "reduce_any", "reduce_logsumexp", "reduce_max", "reduce_mean",
        "reduce_min", "reduce_prod", "reduce_sum", "relu", "repeat", "reshape", "resize_images", "reverse",
        "reverse_sequence", "roll", "round", "saturate_cast", "scatter_nd", "searchsorted", "selu",
        "sequence_mask", "shape", "sigmoid", "sign", "silu", "sin", "size", "slice", "softmax", "softplus",
        "softsign", "sort", "space_to_batch", "split", "sqrt", "square", "squeeze", "stack", "std",
        "stop_gradient", "strided_slice", "subtract", "sum", "swish", "tanh", "tensor_scatter_nd_update",
        "tensordot", "tile", "transpose", "truediv", "truncatediv", "unstack", "var", "where", "zeros",
        "zeros_like"
    ]
)  # fmt: skip
_PLACES = ("tf.", "compat.v1.", "keras.backend.", "keras.activations.")


def computes_only(function: object) -> bool:
    """Whether a function's public name ("math.add", "compat.v1.transpose") is of one that only computes."""
    if not isinstance(function, str):
        return False
    name = function
    for place in _PLACES:
        name = name.removeprefix(place)
    return name in _SINGLE or name.startswith(_FAMILIES)
