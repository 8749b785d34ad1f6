"""`edgetrack-convert inspect`: what is in a `.tflite` file, and what of it the Edge TPU takes."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from rich.console import Console

    from converter.inspection import Inspection

ALL_MAP, SOME_STAY = 0, 1

_EXIT_CODES = """
[bold]Exit codes[/bold]: 0 every operator maps to the Edge TPU · 1 some or all stay on the CPU ·
65 the file is no readable TFLite model · 2 wrong usage
"""


def inspect_command(
    file: Annotated[Path, typer.Argument(help="A .tflite file.", metavar="FILE.tflite")],
    *,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON for programs.")] = False,
    every: Annotated[
        bool, typer.Option("--all", help="List every operator, not only those that stay on the CPU.")
    ] = False,
    min_runtime: Annotated[
        int, typer.Option(min=10, max=14, help="Edge TPU runtime version that the model must run on.")
    ] = 14,
) -> None:
    """Say what of a .tflite file maps to the Edge TPU, and why the rest does not."""
    from converter.inspection import inspect_file, inspection_json

    inspection = inspect_file(file, min_runtime)
    if as_json:
        typer.echo(json.dumps(inspection_json(inspection), indent=2, ensure_ascii=False, allow_nan=False))
    else:
        from rich.console import Console

        print_inspection(inspection, Console(soft_wrap=False, highlight=False), every)
    verdict = inspection.edgetpu
    raise typer.Exit(ALL_MAP if verdict.mapped == verdict.total else SOME_STAY)


inspect_command.__doc__ = f"{inspect_command.__doc__}\n{_EXIT_CODES}"


def print_inspection(inspection: Inspection, console: Console, every: bool = False) -> None:
    """Print an inspection for a person.

    Args:
        inspection: from `converter.inspection.inspect_file`.
        console: where to print.
        every: list mapped operators too.
    """
    from rich.markup import escape

    from converter.commands.operator_table import operator_table, tensor_line

    model, verdict = inspection.model, inspection.edgetpu
    graph = model.main
    console.print(f"[bold]{escape(str(model.path))}[/bold]  {model.size_bytes / 1e6:.2f} MB")
    for role, indices in (("input", graph.inputs), ("output", graph.outputs)):
        for i in indices:
            if i >= 0:
                console.print(f"  {role:<7} {escape(tensor_line(graph.tensors[i]))}")
    if len(model.subgraphs) > 1:
        console.print(f"  {len(model.subgraphs)} subgraphs; operators below are those of the first")
    console.print(operator_table(model, verdict, every))
    if verdict.compiled:
        left = verdict.total - verdict.mapped
        console.print(f"[green]compiled for the Edge TPU[/green], {left} operators on the CPU beside it")
    else:
        colour = "green" if verdict.mapped == verdict.total else "yellow" if verdict.mapped else "red"
        console.print(
            f"[{colour}]{verdict.mapped} of {verdict.total} operators map to the Edge TPU[/{colour}]"
        )
    if verdict.refused is not None:
        console.print(
            f"  [red]refused[/red] {escape(verdict.refused.text)}; {escape(verdict.refused.advice)}"
        )
    if verdict.first_stop is not None:
        stop = verdict.operators[verdict.first_stop]
        reason = stop.reason.text if stop.reason else ""
        behind = f"; {verdict.waiting} operators behind it would map" if verdict.waiting else ""
        console.print(f"  ends at  operator {stop.index} {escape(stop.name)}: {escape(reason)}{behind}")
    if verdict.mapped and not verdict.compiled:
        console.print(f"  memory   {verdict.memory.text}")
    for runtime in inspection.runtimes:
        answer = {
            True: "[green]loads[/green]",
            False: "[red]does not load[/red]",
            None: "[yellow]perhaps[/yellow]",
        }
        reasons = escape("; ".join(runtime.reasons))
        console.print(f"  {runtime.runtime:<36} {answer[runtime.loads]}{'  ' + reasons if reasons else ''}")
    for island in inspection.islands:
        console.print(f"  [yellow]float[/yellow]    {escape(island.text)}")
    for warning in inspection.warnings:
        console.print(f"  [yellow]warning[/yellow]  {escape(warning)}")
