"""A detector's outputs: split by role where one tensor joins them, cut before a SOFTMAX that the decoder does
itself, named, and written into the ModelSpec.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from agent.errors import ModelError
from agent.vision.decode.cells import FORMS
from agent.vision.model_spec import ModelSpec, OutputSpec, StateSpec
from converter.load.float_model import FloatModel
from converter.tflite_edit.activations import cut_softmax
from converter.tflite_edit.edit import EditableModel, named
from converter.tflite_edit.split_outputs import split_output

_WIDTHS = {"boxes": 4, "objectness": 1}


def with_roles(model: FloatModel, spec: ModelSpec, split: bool = True) -> tuple[FloatModel, ModelSpec]:
    """The model with one output per role, and the spec that names them.

    A SOFTMAX over the classes at an output's end is left to the decoder. A LOGISTIC stays: an Edge TPU runs
    it, and outputs joined over several grids share its scale without loss.

    Args:
        split: False leaves the outputs as they are.

    Raises:
        ModelError: the spec names outputs that the model has not.
    """
    states = tuple(StateSpec(output=output, input=name) for output, name in model.states)
    spec = spec.model_copy(update={"outputs": _by_name(model, spec), "states": states or spec.states})
    if spec.task != "detection" or spec.decoder is None or spec.decoder not in FORMS or not split:
        return model, spec
    edited, names, notes = EditableModel(model.content), list(model.outputs), list(model.notes)
    outputs = _split(edited, names, notes, spec, FORMS[spec.decoder].columns)
    outputs = [_cut(edited, names, notes, output) for output in outputs]
    content = named(edited.content(), model.inputs, names)
    return replace(model, content=content, outputs=tuple(names), notes=tuple(notes)), spec.model_copy(
        update={"outputs": tuple(outputs)}
    )


def _split(
    edited: EditableModel, names: list[str], notes: list[str], spec: ModelSpec, columns: Sequence[str]
) -> list[OutputSpec]:
    """Take joined outputs apart; `names` and `notes` are kept up."""
    joined = [output for output in spec.outputs if output.role == "predictions"]
    if not spec.outputs and len(names) == 1:
        joined = [OutputSpec(role="predictions", name=names[0])]
    kept = [output for output in spec.outputs if output.role != "predictions"]
    for output in joined:
        position = names.index(output.name or "")
        roles = split_output(edited, position, _widths(edited, position, columns, len(spec.labels)))
        if roles is None:
            kept.append(output)
            continue
        suffix = f"_{output.stride}" if output.stride else ""
        fresh = [f"{role}{suffix}" for role, _ in roles]
        names[position : position + 1] = fresh
        kept += [
            OutputSpec(role=role, name=name, stride=output.stride)
            for (role, _), name in zip(roles, fresh, strict=True)
        ]
        notes.append(f"output {output.name} split into {', '.join(fresh)}, so that each has its own scale")
    return kept


def _cut(edited: EditableModel, names: list[str], notes: list[str], output: OutputSpec) -> OutputSpec:
    """Leave a final SOFTMAX over the classes to the decoder."""
    if output.role != "scores" or output.activation is not None or output.name not in names:
        return output
    if not cut_softmax(edited, names.index(output.name)):
        return output
    notes.append(f"cut before the SOFTMAX of output {output.name}: the agent's decoder does it on the CPU")
    return output.model_copy(update={"activation": "softmax"})


def _by_name(model: FloatModel, spec: ModelSpec) -> tuple[OutputSpec, ...]:
    """The spec's outputs by name, as indices do not survive a split."""
    outputs = []
    for output in spec.outputs:
        name = output.name
        if name is None:
            index = output.index or 0
            if index >= len(model.outputs):
                raise ModelError(
                    f"output {output.role}",
                    f"expected one of {len(model.outputs)} outputs, got index {index}",
                )
            name = model.outputs[index]
        if name not in model.outputs:
            raise ModelError(
                f"output {output.role}",
                f"expected one of {', '.join(model.outputs)}, got {name}",
                "correct --spec",
            )
        outputs.append(output.model_copy(update={"name": name, "index": None}))
    return tuple(outputs)


def _widths(
    model: EditableModel, position: int, columns: Sequence[str], labels: int
) -> list[tuple[str, int]]:
    """Role and width of each part of a joined output."""
    fixed = sum(_WIDTHS.get(column, 0) for column in columns)
    shape = model.shape(model.graph.outputs[position])
    sizes = (shape[-1], shape[1])
    channels = next((size for size in sizes if labels and size == fixed + labels), sizes[0])
    if channels <= fixed:
        raise ModelError(
            f"output {position}",
            f"expected {fixed} channels and one per class, got shape {shape}",
            "correct decoder or outputs in --spec",
        )
    return [(column, _WIDTHS.get(column, channels - fixed)) for column in columns]
