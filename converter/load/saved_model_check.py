"""What a SavedModel may do, seen before TensorFlow loads it and runs parts of it. Runs in the worker."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from google.protobuf.message import DecodeError  # type: ignore[import-untyped]
from tensorflow.core.protobuf import saved_model_pb2

from agent.errors import ModelError

_REFUSED = re.compile(
    r"""(Experimental)?(
      WriteFile|ReadFile|MatchingFiles|FileSystemSetConfiguration|ImmutableConst    # files
    | PyFunc|PyFuncStateless|EagerPyFunc                                            # code
    | Save(?!V)|SaveSlices|DistributedSave|CreateSummary(File|Db)Writer
    | DatasetToTFRecord|(Save|Load|Snapshot|Cache|CSV|LMDB|Sql|MatchingFiles)Dataset
    | (TextLine|TFRecord|FixedLengthRecord|WholeFile|LMDB)(Dataset|Reader)|Snapshot(Nested)?DatasetReader
    | (DataService|Register)Dataset|_?(Host)?Send|_?(Host)?Recv|RemoteCall          # other machines
    | Debug(Identity|NanCount|NumericSummary)
    )(V\d)?""",
    re.VERBOSE,
)
"""Operators that read or write files, run code or reach other machines, wherever they stand."""
_STORING = frozenset({"SaveV2", "MergeV2Checkpoints"})
"""Those that every SavedModel has, to be saved again; refused where a call or the loading reaches them."""
_INITIALIZERS = ("saved_model_main_op", "legacy_init_op")


def check_saved_model(path: Path) -> None:
    """Look through the graphs and functions of a SavedModel without running anything.

    Raises:
        ModelError: it cannot be read, or holds an operator that does more than compute; it is named.
    """
    if (path / "saved_model.cpb").exists():
        raise ModelError(
            str(path), "expected saved_model.pb, got saved_model.cpb beside it", "export it again"
        )
    model = saved_model_pb2.SavedModel()
    try:
        model.ParseFromString((path / "saved_model.pb").read_bytes())
    except (OSError, DecodeError) as error:
        first = str(error).splitlines()[0]
        raise ModelError(
            str(path), f"expected a SavedModel, got: {first[:240]}", "export it again"
        ) from error
    for graph in model.meta_graphs:
        _check_graph(graph, path)


def _check_graph(graph: Any, path: Path) -> None:
    functions = {own.signature.name: own.node_def for own in graph.graph_def.library.function}
    everything = [*graph.graph_def.node, *(node for nodes in functions.values() for node in nodes)]
    for node in everything:
        if _REFUSED.fullmatch(node.op) or _prints_to_file(node):
            raise _refusal(path, node)
    for node in _reached(graph, functions):
        if node.op in _STORING:
            raise _refusal(path, node)


def _refusal(path: Path, node: Any) -> ModelError:
    return ModelError(
        f"{path} node {node.name}",
        f"expected operators that compute, got {node.op}, which would run as you",
        "do not trust this file, or export it without that part",
    )


def _prints_to_file(node: Any) -> bool:
    return bool(node.op == "PrintV2" and node.attr["output_stream"].s.startswith(b"file:"))


def _reached(graph: Any, functions: dict[str, Any]) -> Iterator[Any]:
    """Nodes that a signature, an initialiser or a function of the loaded object depends on."""
    nodes = {node.name: node for node in graph.graph_def.node}
    outputs = [info.name for own in graph.signature_def.values() for info in own.outputs.values()]
    outputs += [name for key in _INITIALIZERS for name in graph.collection_def[key].node_list.value]
    waiting = [_node_name(output) for output in outputs]
    called = list(graph.object_graph_def.concrete_functions)
    reached: set[str] = set()
    while waiting:
        name = waiting.pop()
        if name in nodes and name not in reached:
            reached.add(name)
            waiting += map(_node_name, nodes[name].input)
            called += _called(nodes[name])
            yield nodes[name]
    done: set[str] = set()
    while called:
        name = called.pop()
        if name in functions and name not in done:
            done.add(name)
            for node in functions[name]:
                called += _called(node)
                yield node


def _node_name(tensor: str) -> str:
    return tensor.removeprefix("^").split(":")[0]


def _called(node: Any) -> Iterator[str]:
    for value in node.attr.values():
        if value.func.name:
            yield value.func.name
        yield from (own.name for own in value.list.func)
