"""`edgetrack-convert convert`: a trained model in, a proven int8 bundle out."""

from __future__ import annotations

import shlex
import sys
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from converter.commands.progress import ProgressBars

if TYPE_CHECKING:
    from converter.report.content import ReportContent

LOST_TOO_MUCH = 1

_EXIT_CODES = """
[bold]Exit codes[/bold]: 0 the bundle is written · 1 int8 lost more than --max-drop allows: only the report is
written · 65, 70 and 74 the data, the model or the disk is at fault: nothing is written · 2 wrong usage
"""


class InputType(StrEnum):
    """Element type of the inputs."""

    INT8 = "int8"
    UINT8 = "uint8"


class OutputType(StrEnum):
    """Element type of the outputs."""

    INT8 = "int8"
    UINT8 = "uint8"
    FLOAT32 = "float32"


class Frames(StrEnum):
    """Which frames of a video."""

    EVEN = "even"
    MOTION = "motion"


def convert_command(
    model: Annotated[
        Path, typer.Argument(metavar="MODEL", help=".keras, .h5, .onnx, or a SavedModel's folder.")
    ],
    *,
    calibration: Annotated[
        Path,
        typer.Option(
            help="Folder of pictures, a video, an .npz of ready inputs, or a recording of the agent with "
            "--video; 100 varied ones are good."
        ),
    ],
    output: Annotated[Path, typer.Option("--output", "-o", help="Folder for the bundle and the report.")],
    spec: Annotated[
        Path | None, typer.Option(help="ModelSpec (JSON): how pictures enter, what the outputs mean.")
    ] = None,
    labels: Annotated[
        Path | None, typer.Option(help="Class names, one a line; replaces those of the spec.")
    ] = None,
    evaluate: Annotated[
        Path | None,
        typer.Option(
            help="Labelled pictures (YOLO labels or a folder per class), MOTChallenge folder, .npz with x, y."
        ),
    ] = None,
    max_drop: Annotated[
        float, typer.Option(min=0.0, max=1.0, help="What int8 may lose in AP50 or top-1.")
    ] = 0.01,
    min_agreement: Annotated[
        float, typer.Option(min=0.0, max=1.0, help="Without labels: least agreement of int8 with float.")
    ] = 0.9,
    max_error: Annotated[
        float,
        typer.Option(
            min=0.0, help="Outputs that are no classes: largest error over the output's own spread."
        ),
    ] = 0.1,
    input_type: Annotated[InputType, typer.Option(help="Of the model's inputs.")] = InputType.INT8,
    output_type: Annotated[OutputType, typer.Option(help="Of its outputs.")] = OutputType.INT8,
    samples: Annotated[
        int, typer.Option(min=1, max=10_000, help="Calibration samples at most, evenly chosen.")
    ] = 128,
    frames: Annotated[
        Frames, typer.Option(help="Of a calibration video: evenly in time, or more where more moves.")
    ] = Frames.EVEN,
    video: Annotated[
        Path | None,
        typer.Option(help="What a recording was made of: a video or a folder of pictures."),
    ] = None,
    every: Annotated[int, typer.Option(min=1, help="Evaluate on each n-th picture only.")] = 1,
    allow_lambda: Annotated[
        bool,
        typer.Option(
            "--allow-lambda", help="Run code that a Keras file carries. Only for files that you trust."
        ),
    ] = False,
    no_rescue: Annotated[
        bool, typer.Option("--no-rescue", help="Do not try to mend what int8 lost.")
    ] = False,
    edgetpu_compiler: Annotated[
        Path | None, typer.Option(help="The compiler; default: the one on PATH, if any.")
    ] = None,
    segments: Annotated[int, typer.Option(min=1, max=16, help="Edge TPUs that share the model.")] = 1,
    seed: Annotated[
        int, typer.Option(help="Written to the ModelSpec; a conversion draws no random numbers.")
    ] = 0,
    quiet: Annotated[bool, typer.Option("--quiet", "-q", help="No progress bars.")] = False,
) -> None:
    """Convert a trained model to int8, prove that it still does its job, and write the bundle."""
    from converter.conversion import Request, convert
    from converter.parity.measure import Limits

    request = Request(
        model=model,
        calibration=calibration,
        output=output,
        spec=spec,
        labels=labels,
        evaluate=evaluate,
        limits=Limits(max_drop, min_agreement, max_error),
        input_type=input_type.value,
        output_type=output_type.value,
        max_samples=samples,
        frames=frames.value,
        video=video,
        every=every,
        allow_lambda=allow_lambda,
        rescue=not no_rescue,
        compiler=edgetpu_compiler,
        segments=segments,
        seed=seed,
        command=_command_line(),
    )
    with ProgressBars(quiet) as progress:
        result = convert(request, progress)
    print_outcome(result.report, result.files)
    if not result.passed:
        raise typer.Exit(LOST_TOO_MUCH)


convert_command.__doc__ = f"{convert_command.__doc__}\n{_EXIT_CODES}"


def print_outcome(report: ReportContent, files: tuple[Path, ...]) -> None:
    """Accuracy, mapping and files, for a person."""
    from rich.console import Console
    from rich.markup import escape
    from rich.table import Table

    console = Console(highlight=False)
    table = Table("measure", "on", "float", "int8", "change", "", box=None, pad_edge=False)
    for row in report.accuracy:
        judged = "" if row.max_drop is None else "judged"
        before = "" if row.float_value is None else f"{row.float_value:.4f}"
        change = "" if row.drop is None else f"{-row.drop:+.4f}"
        table.add_row(
            escape(row.metric),
            escape(f"{row.dataset} ({row.samples})"),
            before,
            f"{row.int8_value:.4f}",
            change,
            judged,
        )
    console.print(table)
    for remedy in report.remedies:
        kept = "kept" if remedy.kept else "dropped"
        console.print(
            escape(f"tried {remedy.name}: {remedy.metric} {remedy.before:.4f} → {remedy.after:.4f}, {kept}")
        )
    if report.edgetpu is not None:
        console.print(f"Edge TPU: {report.edgetpu.mapped} of {report.edgetpu.total} operators map")
    warnings = (*(report.calibration.warnings if report.calibration else ()), *report.warnings)
    for warning in warnings[:10]:
        console.print(escape(f"warning: {warning}"))
    colour = "red" if report.verdict == "failed" else "yellow" if report.doubts else "green"
    console.print(f"[{colour}]{escape(report.summary)}[/{colour}]")
    for path in files:
        console.print(escape(str(path)))


def _command_line() -> str:
    """The command as typed, paths shortened to their names: reports are passed around."""
    words = [Path(word).name if "/" in word else word for word in sys.argv[1:]]
    return shlex.join(["edgetrack-convert", *words])
