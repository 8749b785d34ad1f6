"""`edgetrack-convert compile`: run edgetpu_compiler on a `.tflite` file, or say how to."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer


def compile_command(
    file: Annotated[Path, typer.Argument(help="A fully quantised .tflite file.", metavar="FILE.tflite")],
    *,
    output: Annotated[
        Path | None,
        typer.Option("--output", "-o", help="Folder for the compiled file; default: beside FILE."),
    ] = None,
    compiler: Annotated[
        Path | None,
        typer.Option("--edgetpu-compiler", help="The compiler; default: edgetpu_compiler on PATH."),
    ] = None,
    segments: Annotated[
        int, typer.Option(min=1, max=64, help="Edge TPUs that share the model in a pipeline.")
    ] = 1,
    min_runtime: Annotated[
        int, typer.Option(min=10, max=14, help="Edge TPU runtime version that the model must run on.")
    ] = 14,
    timeout_s: Annotated[float, typer.Option(min=1, help="Give up after this many seconds.")] = 600.0,
) -> None:
    """Compile a .tflite file for the Edge TPU and say what the compiler mapped.

    Without edgetpu_compiler on this machine, the command that runs it in a container is printed.

    [bold]Exit codes[/bold]: 0 compiled and every operator mapped · 1 compiled, some stay on the CPU ·
    65 the file is no readable TFLite model · 70 the compiler is missing, failed or timed out
    """
    from rich.console import Console
    from rich.markup import escape

    from converter.edgetpu.compiler import compile_for_edgetpu
    from converter.edgetpu.compiler_failures import explain_status

    console = Console(highlight=False)
    result = compile_for_edgetpu(
        file,
        output or file.parent,
        compiler=compiler,
        segments=segments,
        min_runtime=min_runtime,
        timeout_s=timeout_s,
    )
    for part in result.log.models:
        console.print(f"[bold]{escape(part.summary)}[/bold]")
        for line in part.operators:
            meaning = explain_status(line.status)
            console.print(
                f"  {line.count:>4} {escape(line.name):<30} {escape(line.status)}"
                + (f" [dim]→ {escape(meaning)}[/dim]" if meaning else "")
            )
    for warning in result.surprises:
        console.print(f"[yellow]warning[/yellow]  {escape(warning)}")
    for path in result.files:
        console.print(f"wrote {escape(str(path))}")
    raise typer.Exit(0 if result.log.on_cpu == 0 else 1)
