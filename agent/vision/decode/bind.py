"""Which output tensor plays which part: bound by name and shape when a model is opened, never by guess."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from agent.errors import ModelError
from agent.vision.model_spec import Activation, ModelSpec, OutputSpec
from agent.vision.quantize import TensorInfo

_WIDTHS = {"boxes": 4, "objectness": 1}


@dataclass(frozen=True, slots=True)
class CellView:
    """How one output tensor is read as a table: one row per cell, one column per channel.

    Args:
        index: position among the file's outputs.
        tensor: that output.
        cells: rows K.
        channels: columns of the whole tensor.
        channels_first: the tensor is (1, channels, …cells) rather than (1, …cells, channels).
        columns: those that play this part.
        activation: that its numbers still need to be scores.
    """

    index: int
    tensor: TensorInfo
    cells: int
    channels: int
    channels_first: bool
    columns: slice
    activation: Activation | None = None

    @property
    def width(self) -> int:
        """Number of columns that play this part."""
        return len(range(*self.columns.indices(self.channels)))

    def table(self, arrays: Sequence[NDArray[Any]]) -> NDArray[Any]:
        """(K, width) view of this output's array, in the tensor's own dtype."""
        array = arrays[self.index]
        if self.channels_first:
            return array.reshape(self.channels, self.cells).T[:, self.columns]
        return array.reshape(self.cells, self.channels)[:, self.columns]


def describe(outputs: Sequence[TensorInfo]) -> str:
    """The outputs of a model, for error messages."""
    return ", ".join(str(output) for output in outputs) or "none"


def find_output(wanted: OutputSpec, outputs: Sequence[TensorInfo]) -> int:
    """Position of the output that an OutputSpec means.

    Raises:
        ModelError: the file holds no such output, or several of that name.
    """
    where = f"output {wanted.role}"
    if wanted.name is not None:
        found = [index for index, output in enumerate(outputs) if output.name == wanted.name]
        # One tensor may be listed as several outputs.
        if not found or any(outputs[index] != outputs[found[0]] for index in found):
            problem = f"expected one output named {wanted.name!r}, the file holds {describe(outputs)}"
            raise ModelError(where, problem, "correct `outputs` in the ModelSpec")
        return found[0]
    if wanted.index is None or wanted.index >= len(outputs):
        raise ModelError(
            where, f"expected output {wanted.index}, the file holds {len(outputs)}: {describe(outputs)}"
        )
    return wanted.index


def view_cells(
    role: str,
    index: int,
    tensor: TensorInfo,
    *,
    cells: Sequence[int] = (),
    channels: int | None = None,
    likely_channels: int | None = None,
) -> CellView:
    """Read a tensor as cells × channels.

    Args:
        role: for the error message.
        index: position of the tensor among the file's outputs.
        tensor: (1, …); the channels are its last axis or the one after the batch.
        cells: numbers of cells that may be, the likeliest first; empty when any number may.
        channels: number of channels that must be.
        likely_channels: decides, before the order of `cells` and before the last axis, where several fit.

    Raises:
        ModelError: neither axis fits.
    """
    shape = tensor.shape
    size = math.prod(shape)
    axes: list[tuple[int, bool]] = []
    if len(shape) >= 2 and shape[0] == 1 and size > 0:
        # A role of one channel may have no axis for it.
        axes = [(shape[-1], False), (shape[1], True), *([(1, False)] if channels == 1 else [])]
    fitting = [
        (count, first)
        for number in cells or [0]
        for count, first in axes
        if channels in (None, count) and number in (0, size // count)
    ]
    if fitting:
        count, first = next((axis for axis in fitting if axis[0] == likely_channels), fitting[0])
        return CellView(index, tensor, size // count, count, first, slice(0, count))
    wanted_cells = " or ".join(str(number) for number in cells) if cells else "K"
    raise ModelError(
        f"output {role}",
        f"expected (1, {wanted_cells}, {channels or 'C'}) or its transpose, the file holds {tensor}",
        "correct `outputs`, `strides`, `labels` or the input's size in the ModelSpec",
    )


def grid_cells(spec: ModelSpec, stride: int) -> int:
    """Number of cells of a grid over the model's input."""
    if spec.input is None:
        raise ModelError(spec.name, "expected `input` in the ModelSpec of a detector, got none")
    return math.ceil(spec.input.height / stride) * math.ceil(spec.input.width / stride)


@dataclass(frozen=True, slots=True)
class Scale:
    """The outputs that belong together: of one stride, or of all strides joined.

    Args:
        strides: px of the input per cell, in the order of the rows.
        roles: "boxes", "scores" and perhaps "objectness".
    """

    strides: tuple[int, ...]
    roles: dict[str, CellView]


def bind_scales(
    spec: ModelSpec,
    outputs: Sequence[TensorInfo],
    *,
    columns: tuple[str, ...],
    strides: tuple[int, ...],
    boxes_per_cell: int,
    on_grid: bool,
) -> list[Scale]:
    """Bind a detector's outputs, joined or split into roles, for all strides or one each.

    Args:
        spec: `outputs` may be empty when the file has one output, which then holds the predictions.
        outputs: of the file.
        columns: order of the roles in a joined output, for instance ("boxes", "objectness", "scores").
        strides: of the decoder.
        boxes_per_cell: 3 where each cell has three anchors.
        on_grid: False when rows need no cell, so that any number of them may be.

    Raises:
        ModelError: an output is missing, is there twice, or has a shape that fits no role.
    """
    wanted = spec.outputs
    if not wanted:
        if len(outputs) != 1:
            problem = f"expected `outputs` for a file with several, the file holds {describe(outputs)}"
            raise ModelError(spec.name, problem, "name each output and its role in the ModelSpec")
        wanted = (OutputSpec(role="predictions", index=0),)
    cells_of = {stride: grid_cells(spec, stride) for stride in strides}
    total = sum(cells_of.values())
    fixed = sum(_WIDTHS.get(column, 0) for column in columns)
    groups: dict[tuple[int, ...], dict[str, CellView]] = {}
    for output in wanted:
        if output.role not in ("predictions", *columns):
            continue
        if output.stride and output.stride not in cells_of:
            problem = f"expected a stride of {list(strides)}, got {output.stride}"
            raise ModelError(f"output {output.role}", problem, "correct `strides` in the ModelSpec")
        index = find_output(output, outputs)
        likely = len(spec.labels) + (fixed if output.role == "predictions" else 0) if spec.labels else None
        known = [total * boxes_per_cell, total, *cells_of.values()]
        if output.stride:
            known = [cells_of[output.stride] * boxes_per_cell]
        elif not on_grid:
            known = known[:2]
        view = _view(output.role, index, outputs[index], known=known, likely=likely, on_grid=on_grid)
        members = (output.stride,) if output.stride else strides
        if on_grid and not output.stride and view.cells != total:
            members = tuple(stride for stride in strides if cells_of[stride] == view.cells)
        roles = groups.setdefault(members, {})
        for role, part in _parts(output.role, view, columns).items():
            if role in roles:
                raise ModelError(
                    f"output {role}", "expected it once for each stride, the spec names it twice"
                )
            logits: Activation | None = "sigmoid" if spec.scores_are_logits and role != "boxes" else None
            roles[role] = replace(part, activation=output.activation or logits)
    for members, roles in groups.items():
        _check_group(spec, members, roles, columns)
    covered = sorted(stride for members in groups for stride in members)
    if covered != sorted(strides):
        problem = f"expected outputs for the strides {list(strides)}, got them for {covered}"
        raise ModelError(spec.name, f"{problem}; the file holds {describe(outputs)}")
    return [Scale(members, roles) for members, roles in sorted(groups.items())]


def _view(
    role: str, index: int, tensor: TensorInfo, *, known: list[int], likely: int | None, on_grid: bool
) -> CellView:
    """The table of one role; off the grid there may be any number of rows when the columns are known."""
    channels = _WIDTHS.get(role)
    try:
        return view_cells(role, index, tensor, cells=known, channels=channels, likely_channels=likely)
    except ModelError:
        if on_grid or (channels or likely) is None:
            raise
        return view_cells(role, index, tensor, channels=channels or likely)


def _parts(role: str, view: CellView, columns: tuple[str, ...]) -> dict[str, CellView]:
    """The parts that an output plays: one, or all of them when it holds the joined predictions."""
    if role != "predictions":
        return {role: view}
    parts: dict[str, CellView] = {}
    start = 0
    for column in columns:
        stop = start + _WIDTHS.get(column, view.channels - start)
        parts[column] = replace(view, columns=slice(start, stop))
        start = stop
    return parts


def _check_group(
    spec: ModelSpec, members: tuple[int, ...], roles: dict[str, CellView], columns: tuple[str, ...]
) -> None:
    """Refuse outputs that do not make up whole predictions."""
    missing = [column for column in columns if column not in roles]
    if missing:
        raise ModelError(
            f"{spec.name} strides {list(members)}",
            f"expected outputs for {', '.join(columns)}, got none for {', '.join(missing)}",
            "name each output and its role in the ModelSpec",
        )
    rows = {role: view.cells for role, view in roles.items()}
    if len(set(rows.values())) != 1:
        raise ModelError(spec.name, f"expected as many rows in each output, got {rows}")
    scores = roles["scores"]
    if scores.width < 1:
        raise ModelError(spec.name, f"expected scores for 1 class or more, the file holds {scores.tensor}")
    for view in roles.values():
        if not view.tensor.quantized and not np.issubdtype(view.tensor.dtype, np.floating):
            raise ModelError(spec.name, f"expected float or quantised outputs, the file holds {view.tensor}")
