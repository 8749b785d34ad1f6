"""`edgetrack-convert compare`: does an int8 file still do what the float model does?"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from converter.commands.convert import LOST_TOO_MUCH, print_outcome
from converter.commands.progress import ProgressBars

_EXIT_CODES = """
[bold]Exit codes[/bold]: 0 within what is allowed · 1 int8 lost more; the worst layers are named · 65, 70 the
data or a model is at fault · 2 wrong usage
"""


def compare_command(
    reference: Annotated[
        Path, typer.Argument(metavar="FLOAT", help=".tflite, .onnx, .keras, .h5 or a SavedModel's folder.")
    ],
    int8: Annotated[Path, typer.Argument(metavar="INT8", help="The converted .tflite.")],
    *,
    images: Annotated[
        Path | None, typer.Option(help="Folder of pictures, a MOTChallenge folder, or a video.")
    ] = None,
    sequences: Annotated[Path | None, typer.Option(help=".npz of ready inputs, with y where known.")] = None,
    labels: Annotated[
        Path | None,
        typer.Option(help="Folder of YOLO label files, where it is not found beside the pictures."),
    ] = None,
    spec: Annotated[Path | None, typer.Option(help="ModelSpec; default: the one beside INT8.")] = None,
    names: Annotated[
        Path | None, typer.Option(help="Class names, one a line; replaces those of the spec.")
    ] = None,
    max_drop: Annotated[
        float, typer.Option(min=0.0, max=1.0, help="What int8 may lose in AP50 or top-1.")
    ] = 0.01,
    min_agreement: Annotated[
        float, typer.Option(min=0.0, max=1.0, help="Without labels: least agreement.")
    ] = 0.9,
    max_error: Annotated[
        float, typer.Option(min=0.0, help="Outputs that are no classes: largest relative error.")
    ] = 0.1,
    every: Annotated[int, typer.Option(min=1, help="Each n-th picture only.")] = 1,
    limit: Annotated[int | None, typer.Option(min=1, help="At most this many, evenly chosen.")] = None,
    report: Annotated[Path | None, typer.Option(help="Folder for report.html and report.json.")] = None,
    quiet: Annotated[bool, typer.Option("--quiet", "-q", help="No progress bars.")] = False,
) -> None:
    """Measure a float model and its int8 file side by side, as their task measures it."""
    from converter.comparison import CompareRequest, compare
    from converter.parity.measure import Limits
    from converter.report.page import write_report

    data = images or sequences
    if data is None or (images and sequences):
        raise typer.BadParameter("give either --images or --sequences")
    request = CompareRequest(
        reference, int8, data, labels, spec, names, Limits(max_drop, min_agreement, max_error), every, limit
    )
    with ProgressBars(quiet) as progress:
        content = compare(request, progress)
    files = write_report(content, report) if report is not None else ()
    print_outcome(content, files)
    if content.verdict == "failed":
        raise typer.Exit(LOST_TOO_MUCH)


compare_command.__doc__ = f"{compare_command.__doc__}\n{_EXIT_CODES}"
