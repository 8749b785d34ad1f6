"""Where an int8 model departs from its float twin: every layer's error on the same input, and its cause.

Both files run with all intermediate tensors kept. The signal-to-noise ratio of a layer is that of the whole
int8 model up to it; what the layer itself lost is the difference to the worst of its inputs.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from agent.errors import DataError
from agent.records import FloatArray
from converter.layer_match import activations, match_layers
from converter.preserved_tensors import PreservedTensors, fit_layout, to_values
from converter.tflite_edit.activations import LOGISTIC_REACH
from converter.tflite_edit.silu import FLAT_BELOW
from converter.tflite_model.scales import ScaleWarning, scale_warnings
from converter.tflite_model.structure import Operator, Subgraph, Tensor

MAX_DB = 120.0
"""Signal-to-noise ratios are kept within ±120 dB; 120 means equal."""
NOTABLE_LOSS_DB = 6.0
"""A layer that loses more than this (half of the amplitude's precision) is worth a cause."""
CLEAN_DB = 50.0
"""8 bits give about this; what is above it is no loss that anyone could have avoided."""
NOTABLE_CLIPPING = 0.005
COARSE_DB = 25.0
"""A ratio below this shows in what a model finds; plain rounding to 256 codes gives 30 to 50."""
FEW_CODES = 16
SMALL_IN_STEPS = 8
"""Values of fewer steps than this are mostly rounding."""


@dataclass(frozen=True, slots=True)
class LayerError:
    """One activation of the int8 model against the same of the float model.

    Args:
        index: of the operator that writes it, in the int8 model.
        operator: its name.
        name: of the int8 tensor.
        float_name: of the float tensor it was compared with.
        snr_db: 10·log10(Σ float² / Σ (float - int8)²) over all samples, within ±120.
        input_snr_db: the worst of its inputs' that were compared; 120 where it reads the model's input.
        float_min, float_max: values that the float tensor took.
        kept_min, kept_max: values that the int8 tensor can hold; None where it is no integer tensor.
        clipped: fraction of float values outside of kept_min..kept_max, 0..1.
        codes_used: distinct codes that occurred; None where it is no integer tensor.
        cause: why it lost what it lost; "" where it lost little.
    """

    index: int
    operator: str
    name: str
    float_name: str
    snr_db: float
    input_snr_db: float
    float_min: float
    float_max: float
    kept_min: float | None
    kept_max: float | None
    clipped: float
    codes_used: int | None
    cause: str

    @property
    def lost_db(self) -> float:
        """What this layer itself lost: the worst of its inputs' ratio (at most 50 dB) less its own, or 0."""
        return max(min(self.input_snr_db, CLEAN_DB) - self.snr_db, 0.0)


def layer_errors(
    float_tflite: Path, int8_tflite: Path, samples: Sequence[Sequence[FloatArray]]
) -> list[LayerError]:
    """Compare two `.tflite` files of one model, layer by layer.

    Args:
        float_tflite: the float model.
        int8_tflite: the quantised model; names, layout and operators may differ from the float one's.
        samples: one or more inputs; each holds one array per model input, in the float model's order and
            layout, real values as the float model takes them. 4 to 16 are enough.

    Returns:
        One record per activation that was found in both, in the int8 model's execution order.

    Raises:
        DataError: a file is no readable TFLite model, or there is no sample.
        ModelError: a model cannot be run, or a sample does not fit.
    """
    if not samples:
        raise DataError(str(int8_tflite), "expected one sample or more, got none")
    reference, int8 = PreservedTensors(float_tflite), PreservedTensors(int8_tflite)
    order = _input_order(int8, reference)
    pairs: list[_Pair] = []
    for sample in samples:
        reference.run(sample)
        int8.run([sample[i] for i in order])
        if not pairs:
            pairs = _pairs(int8, reference)
        for pair in pairs:
            pair.add(int8, reference)
    return _records(int8.model.main, pairs)


def worst_layers(errors: Sequence[LayerError], count: int = 5) -> list[LayerError]:
    """The layers that lose most by themselves, those with a cause first; of an operator the worst output."""
    losing = [error for error in errors if error.lost_db >= NOTABLE_LOSS_DB]
    worst: dict[int, LayerError] = {}
    for error in sorted(losing, key=lambda error: (not error.cause, -error.lost_db)):
        worst.setdefault(error.index, error)
    return list(worst.values())[:count]


class _Pair:
    """Running sums over all samples of one tensor and its float twin."""

    def __init__(self, tensor: Tensor, twin: Tensor, matters: tuple[float, float]) -> None:
        self.tensor, self.twin, self.matters = tensor, twin, matters
        self.signal = self.noise = 0.0
        self.low, self.high = math.inf, -math.inf
        self.outside = self.count = 0
        self.kept = tensor.representable
        self._seen: NDArray[np.bool_] = np.zeros(256, np.bool_)

    def add(self, int8: PreservedTensors, reference: PreservedTensors) -> None:
        """Take in the two tensors of one sample."""
        content, other = int8.read(self.tensor), reference.read(self.twin)
        if content is None or other is None:
            return
        value = to_values(content, self.tensor)
        true = fit_layout(to_values(other, self.twin), value.shape)
        value, true = np.clip(value, *self.matters), np.clip(true, *self.matters)
        with np.errstate(over="ignore", invalid="ignore"):
            self.signal += float(np.sum(np.square(true, dtype=np.float64)))
            self.noise += float(np.sum(np.square(true.astype(np.float64) - value)))
        self.low, self.high = min(self.low, float(true.min())), max(self.high, float(true.max()))
        self.count += true.size
        if self.kept is not None:
            slack = (self.kept[1] - self.kept[0]) / 255
            self.outside += int(
                np.count_nonzero((true < self.kept[0] - slack) | (true > self.kept[1] + slack))
            )
        if content.dtype in {np.dtype(np.int8), np.dtype(np.uint8)}:
            self._seen[np.bincount(content.reshape(-1).view(np.uint8), minlength=256) > 0] = True

    @property
    def snr_db(self) -> float:
        if not math.isfinite(self.noise) or not math.isfinite(self.signal):
            return -MAX_DB
        if self.noise == 0:
            return MAX_DB
        if self.signal == 0:
            return -MAX_DB
        return max(-MAX_DB, min(MAX_DB, 10 * math.log10(self.signal / self.noise)))

    @property
    def rms(self) -> float:
        return math.sqrt(self.signal / self.count) if self.count else 0.0

    @property
    def codes_used(self) -> int | None:
        used = int(self._seen.sum())
        return used or None

    @property
    def clipped(self) -> float:
        return self.outside / self.count if self.count else 0.0


def _input_order(int8: PreservedTensors, reference: PreservedTensors) -> list[int]:
    """For each int8 input, the position of the float input that stands for it: by name, else by place."""
    names = [tensor.name for tensor in reference.inputs]
    return [names.index(t.name) if names.count(t.name) == 1 else i for i, t in enumerate(int8.inputs)]


def _values(model: PreservedTensors) -> dict[int, FloatArray]:
    values = {}
    for tensor in (*model.inputs, *activations(model.model.main)):
        content = model.read(tensor)
        if content is not None and content.size and content.dtype != np.bool_:
            values[tensor.index] = to_values(content, tensor)
    return values


def _pairs(int8: PreservedTensors, reference: PreservedTensors) -> list[_Pair]:
    graph, twin = int8.model.main, reference.model.main
    values, twin_values = _values(int8), _values(reference)
    matched = match_layers(graph, twin, values, twin_values)
    matters = _what_matters(graph)
    return [
        _Pair(graph.tensors[i], twin.tensors[j], matters.get(i, (-math.inf, math.inf)))
        for i, j in matched.items()
        if i in values and j in twin_values and values[i].size == twin_values[j].size
        if sorted(values[i].shape) == sorted(twin_values[j].shape) or values[i].ndim != twin_values[j].ndim
    ]


def _what_matters(graph: Subgraph) -> dict[int, tuple[float, float]]:
    """Bounds beyond which nothing depends on a tensor's values: what only σ reads, or x of x·σ(x).

    Clipping there is wanted (`converter.tflite_edit`) and no error.
    """
    readers: dict[int, list[str]] = {}
    for op in graph.operators:
        for i in op.inputs:
            readers.setdefault(i, []).append(op.name)
    bounds: dict[int, tuple[float, float]] = {}
    for op in reversed(graph.operators):
        for i in op.outputs:
            kinds = sorted(readers.get(i, ()))
            if kinds == ["LOGISTIC"]:
                bounds[i] = (-LOGISTIC_REACH, LOGISTIC_REACH)
            elif kinds == ["LOGISTIC", "MUL"]:
                bounds[i] = (FLAT_BELOW, math.inf)
            elif op.name == "RESHAPE" and i in bounds and readers.get(op.inputs[0]) == ["RESHAPE"]:
                bounds[op.inputs[0]] = bounds[i]
    return bounds


def _records(graph: Subgraph, pairs: Sequence[_Pair]) -> list[LayerError]:
    producer = {i: op for op in graph.operators for i in op.outputs}
    snr: dict[int, float] = {}
    faults: dict[str, ScaleWarning] = {warning.tensor: warning for warning in scale_warnings(graph)}
    by_index = {pair.tensor.index: pair for pair in pairs}
    records = []
    for op in graph.operators:
        arriving = min((snr[i] for i in op.inputs if i in snr), default=MAX_DB)
        for i in op.outputs:
            pair = by_index.get(i)
            snr[i] = pair.snr_db if pair is not None and pair.count else arriving
            if pair is None or not pair.count or producer[i] is not op:
                continue
            kept = pair.kept or (None, None)
            records.append(
                LayerError(
                    index=op.index,
                    operator=op.name,
                    name=pair.tensor.name,
                    float_name=pair.twin.name,
                    snr_db=pair.snr_db,
                    input_snr_db=arriving,
                    float_min=pair.low,
                    float_max=pair.high,
                    kept_min=kept[0],
                    kept_max=kept[1],
                    clipped=pair.clipped,
                    codes_used=pair.codes_used,
                    cause=_cause(op, pair, arriving, faults.get(pair.tensor.name)),
                )
            )
    return records


def _cause(op: Operator, pair: _Pair, arriving_db: float, fault: ScaleWarning | None) -> str:
    """Why a layer lost what it lost: the first that applies; "" where it lost little."""
    if arriving_db - pair.snr_db < NOTABLE_LOSS_DB or pair.snr_db > 40:
        return ""
    if fault is not None and fault.code != "starved-weights":
        return fault.text
    if pair.kept is not None:
        low, high = pair.kept
        if pair.clipped > NOTABLE_CLIPPING:
            return (
                f"{pair.clipped:.1%} of its values ({pair.low:.4g} to {pair.high:.4g}) lie outside of the "
                f"{low:.4g} to {high:.4g} that its codes can say"
            )
        used = pair.codes_used
        if used is not None and used < FEW_CODES and high - low > 4 * (pair.high - pair.low):
            return (
                f"only {used} of 256 codes are used: its scale is made for {low:.4g} to {high:.4g}, "
                f"its values are {pair.low:.4g} to {pair.high:.4g}"
            )
        step = (high - low) / 255
        if pair.snr_db <= COARSE_DB and pair.rms < SMALL_IN_STEPS * step:
            return f"its values are small (root mean square {pair.rms:.3g}) beside its step of {step:.3g}"
    if arriving_db >= MAX_DB or pair.snr_db > COARSE_DB:
        return ""
    return f"rounding in {op.name}: its weights or its inputs need finer steps than 256 codes give"
