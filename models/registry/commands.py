"""`edgetrack-models list` and `edgetrack-models pull`; `models.cli` registers them."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from agent.errors import ConfigError

if TYPE_CHECKING:
    from models.registry.catalogue import ModelFile, RegisteredModel, Registry
    from models.registry.download import OnBytes
    from models.registry.pull import ProgressOf, Pulled

RegistryFile = Annotated[
    Path | None, typer.Option("--registry", help="YAML file of models; default: the one that comes along.")
]


def register(app: typer.Typer) -> None:
    """Add the commands of this module to the program's."""
    app.command("list")(list_command)
    app.command("pull")(pull_command)


def list_command(
    registry: RegistryFile = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON instead of a table.")] = False,
) -> None:
    """Public models that `pull` fetches: what they find, where they run, licence, size and origin."""
    known = _read(registry)
    if as_json:
        print(json.dumps({name: _as_json(model) for name, model in known.models.items()}, indent=2))
        return
    from rich.console import Console
    from rich.table import Table

    table = Table()
    for title in ("name", "what", "runs on", "MB", "licence", "hash", "from"):
        table.add_column(title, justify="right" if title == "MB" else "left", overflow="fold")
    for name, model in known.models.items():
        stated = all(file.sha256 for file in model.files)
        table.add_row(
            name,
            model.about,
            ", ".join(file.runs_on for file in model.files),
            f"{model.size_mb:.1f}",
            model.licence,
            "stated" if stated else "first use",
            model.origin.removeprefix("https://"),
        )
    Console(width=None if sys.stdout.isatty() else 150).print(table)
    print("workstation: an ONNX file for edgetrack-convert. first use: pull shows and remembers the hash.")


def pull_command(
    name: Annotated[str, typer.Argument(metavar="NAME", help="As `list` shows it.")],
    output: Annotated[Path, typer.Option("--output", "-o", help="Folder to write to.")] = Path(),
    registry: RegistryFile = None,
    force: Annotated[
        bool, typer.Option("--force", help="Fetch again and trust anew, over what lies there.")
    ] = False,
) -> None:
    """Fetch a public model, verify it, and write its ModelSpec beside it; goes on where it was cut."""
    from models.registry.pull import pull_files, write_spec

    known = _read(registry)
    if name not in known.models:
        raise ConfigError("pull", f"expected one of {', '.join(known.models)}, got {name}")
    model = known.models[name]
    print(f"{name}: {model.about}. {model.licence}, {model.origin}")
    pulled: list[Pulled] = []
    with _bars() as progress:
        for file in pull_files(model, output, progress, replace=force):
            pulled.append(file)
            done = "fetched" if file.fetched else "there already"
            print(f"{file.path}: {done}, sha256 {file.sha256}, {file.trust}", flush=True)
    if model.note:
        print(f"note: {model.note}")
    spec = write_spec(known, name, pulled, replace=force)
    print(
        f"{spec}: written" if spec else f"{output}: the ModelSpec that was there is kept; --force replaces it"
    )
    print(_next_step(model, output))


def _read(path: Path | None) -> Registry:
    from models.registry.catalogue import BUNDLED, read_registry

    return read_registry(path or BUNDLED)


def _as_json(model: RegisteredModel) -> dict[str, object]:
    files = [{"name": file.name, **file.model_dump()} for file in model.files]
    return {
        "about": model.about,
        "licence": model.licence,
        "origin": model.origin,
        "note": model.note,
        "files": files,
    }


def _next_step(model: RegisteredModel, folder: Path) -> str:
    best = folder / model.files[-1].name
    if model.files[-1].runs_on == "workstation":
        return (
            f"next, on a workstation: edgetrack-convert convert {best} --spec {best.with_suffix('.json')} "
            "--calibration PICTURES --output bundle"
        )
    device = ", device: edgetpu" if model.files[-1].runs_on == "edgetpu" else ""
    cpu = f"; without an Edge TPU {{model: {folder / model.files[0].name}}}" if device else ""
    return f"next, in the configuration: detector: {{model: {best}{device}}}{cpu}"


@contextmanager
def _bars() -> Iterator[ProgressOf]:
    """A bar of bytes for each file on standard error; silent where that is no terminal."""
    from rich.console import Console
    from rich.progress import (
        BarColumn,
        DownloadColumn,
        Progress,
        TextColumn,
        TimeRemainingColumn,
        TransferSpeedColumn,
    )

    console = Console(file=sys.stderr)
    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        DownloadColumn(),
        TransferSpeedColumn(),
        TimeRemainingColumn(),
    )
    with Progress(*columns, console=console, transient=True, disable=not console.is_terminal) as bar:

        def of(file: ModelFile) -> OnBytes:
            task = bar.add_task(file.name, total=file.size_mb * 1e6)
            return lambda have, total: bar.update(task, completed=have, total=total)

        yield of
