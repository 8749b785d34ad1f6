"""One node of an ONNX graph as its operator's function sees it."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NoReturn, TypeAlias

import numpy as np

from agent.errors import ModelError
from converter.load.onnx.values import Constant, Operand


@dataclass(frozen=True)
class Node:
    """A node with its attributes as Python values.

    Args:
        op_type: ONNX's name of the operator.
        name: of the node, or of its first output where it has none.
        attributes: by name; tensors as NumPy arrays, texts as str.
        opset: version of the operator set that the file uses.
        output_count: how many outputs are asked for.
        where: the file, for messages.
    """

    op_type: str
    name: str
    attributes: Mapping[str, Any]
    opset: int
    output_count: int
    where: str

    def get(self, attribute: str, default: Any = None) -> Any:
        """An attribute, or `default` where the node leaves it out."""
        return self.attributes.get(attribute, default)

    def fail(self, problem: str, hint: str = "") -> NoReturn:
        """Refuse this node.

        Raises:
            ModelError: always; names the operator and the node.
        """
        raise ModelError(f"{self.where} node {self.name} ({self.op_type})", problem, hint)

    def given(self, inputs: Sequence[Operand | None], position: int) -> Operand:
        """An input that the operator cannot do without.

        Raises:
            ModelError: the node leaves it out.
        """
        operand = inputs[position] if position < len(inputs) else None
        if operand is None:
            self.fail(f"expected input {position}, got none")
        return operand

    def constant(self, operand: Operand | None, what: str) -> Constant:
        """An operand that has to be known at conversion time.

        Raises:
            ModelError: it is computed by the model.
        """
        if not isinstance(operand, np.ndarray | np.generic):
            self.fail(f"expected {what} as a constant, got a computed one", "export with static shapes")
        return np.asarray(operand)


Operator: TypeAlias = Callable[[Node, list["Operand | None"]], "Operand | list[Operand]"]
"""What rebuilds a node: its inputs (None where optional ones are left out) to its output or outputs."""
