"""How much room a model's parameters need in the Edge TPU's memory, estimated.

The Edge TPU has 8 MB of SRAM for parameters, the program and activations (coral.ai/docs/edgetpu/compiler,
"Parameter data caching"). What does not fit is sent over USB or PCIe at each inference. Published logs of
the compiler (google-coral/edgetpu#60, #324, #427, #458, #463, #518, #572, #671) show 6.9 to 7.7 MiB for
parameters, less with large activations (down to 1.1 MiB), and parameters that grow by 0 to 27 % when they
are laid out.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass

from converter.tflite_model.structure import Operator, Subgraph

MIB = 2**20
USUAL_CAPACITY_BYTES = int(6.9 * MIB)
MOST_CAPACITY_BYTES = int(7.7 * MIB)
LAYOUT_GROWTH = 1.27


@dataclass(frozen=True, slots=True)
class ParameterMemory:
    """Room for parameters, and room that there is.

    Args:
        parameter_bytes: constants of the mapped operators, as in the file.
        most_bytes: the same after the compiler laid them out, at worst.
        peak_activation_bytes: largest sum of one mapped operator's inputs and outputs; they share the memory.
    """

    parameter_bytes: int
    most_bytes: int
    peak_activation_bytes: int

    @property
    def fits(self) -> bool | None:
        """Whether all parameters stay on the chip; None: too close to tell."""
        if self.most_bytes <= USUAL_CAPACITY_BYTES:
            return True
        return False if self.parameter_bytes > MOST_CAPACITY_BYTES else None

    @property
    def segments(self) -> int:
        """Edge TPUs in a row that hold all parameters, at least 1."""
        return max(1, math.ceil(self.most_bytes / USUAL_CAPACITY_BYTES))

    @property
    def text(self) -> str:
        """One sentence for a person."""
        low, high = self.parameter_bytes / MIB, self.most_bytes / MIB
        fate = {
            True: "all fit on the chip",
            False: f"they do not fit, the rest is sent each time; --segments {self.segments} would do",
            None: "whether all fit is too close to tell",
        }[self.fits]
        return f"{low:.2f} to {high:.2f} MiB of parameters for 6.9 to 7.7 MiB (estimate): {fate}"


def estimate_memory(graph: Subgraph, mapped: Iterable[Operator]) -> ParameterMemory:
    """Estimate the room for the parameters of the operators that map; a constant used twice counts once."""
    constants: dict[int, int] = {}
    peak = 0
    for op in mapped:
        tensors = [t for t in map(graph.tensor, (*op.inputs, *op.outputs)) if t is not None]
        constants.update({t.index: t.data_bytes for t in tensors if t.constant})
        peak = max(peak, sum(t.elements for t in tensors if not t.constant and t.dtype in {"int8", "uint8"}))
    total = sum(constants.values())
    return ParameterMemory(total, int(total * LAYOUT_GROWTH), peak)
