"""`edgetrack-convert`: the list of its commands, and one line for every error.

A command lives in its own module below `converter.commands`, which imports what is heavy (TensorFlow, ONNX,
NumPy) inside the function that needs it: `--help` answers without any of them.
"""

from __future__ import annotations

import sys
from typing import Annotated, NoReturn

import typer

from agent.errors import EdgetrackError
from agent.version import __version__
from converter.commands.compare import compare_command
from converter.commands.compile import compile_command
from converter.commands.convert import convert_command
from converter.commands.inspect import inspect_command

app = typer.Typer(
    name="edgetrack-convert",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    rich_markup_mode="rich",
)


def _print_version(wanted: bool) -> None:
    if wanted:
        print(f"edgetrack-convert {__version__}")
        raise typer.Exit


@app.callback()
def _root(
    _version: Annotated[
        bool,
        typer.Option("--version", callback=_print_version, is_eager=True, help="Print the version and exit."),
    ] = False,
) -> None:
    """Trained CNN and LSTM models in, proven int8 TFLite for CPU and Edge TPU out."""


app.command("convert")(convert_command)
app.command("compare")(compare_command)
app.command("inspect")(inspect_command)
app.command("compile")(compile_command)


def main() -> None:
    """Entry point: an `EdgetrackError` or a full disk becomes one line on stderr and an exit code."""
    try:
        app()
    except EdgetrackError as error:
        _end(error)
    except OSError as error:
        from converter.bundle import temporary_storage_error

        _end(temporary_storage_error(error))


def _end(error: EdgetrackError) -> NoReturn:
    print(f"edgetrack-convert: {error}", file=sys.stderr)
    raise SystemExit(error.exit_code) from None
