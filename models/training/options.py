"""What the training commands share: settings from a file and from the command line, a progress bar."""

from __future__ import annotations

import os
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated, TypeVar

import typer
from pydantic import ValidationError

from agent.errors import ConfigError
from agent.settings import Section
from agent.yaml_file import YamlFile

Settings = TypeVar("Settings", bound=Section)
ConfigFile = Annotated[Path | None, typer.Option("--config", "-c", help="YAML file with the settings.")]
Overrides = Annotated[
    list[str] | None,
    typer.Option("--set", "-s", help="KEY=VALUE, over the file; may be repeated.", metavar="KEY=VALUE"),
]

_LINE_EVERY_S = 30.0


def read_settings(kind: type[Settings], config: Path | None, overrides: list[str]) -> Settings:
    """Settings from a YAML file and KEY=VALUE pairs.

    Raises:
        ConfigError: names every fault, with its line where it stands in the file.
    """
    import yaml

    file = YamlFile(config) if config is not None else None
    content = dict(file.content) if file is not None else {}
    for pair in overrides:
        key, equals, value = pair.partition("=")
        if not equals:
            raise ConfigError("--set", f"expected KEY=VALUE, got {pair!r}")
        try:
            content[key] = yaml.safe_load(value)
        except yaml.YAMLError as error:
            raise ConfigError(f"--set {key}", f"expected a YAML value, got {value!r}") from error
    try:
        return kind.model_validate(content)
    except ValidationError as error:
        faults = []
        for fault in error.errors():
            path = [part for part in fault["loc"] if isinstance(part, str | int)]
            name = ".".join(map(str, path))
            where = (
                f"{file.path}:{file.line_of(path)} {name}" if file is not None and file.has(path) else name
            )
            faults.append(
                f"{where}: {fault['msg']}, got {fault['input']!r}"
                if fault["type"] != "missing"
                else f"{name}: expected a value, got none; give --config or --set {name}=…"
            )
        raise ConfigError("training", faults[0], faults=tuple(faults)) from error


def quiet_tensorflow() -> None:
    """Import TensorFlow without its start-up lines, which native code writes whatever Python's logging says.

    They are shown where the import fails, and to those who set TF_CPP_MIN_LOG_LEVEL themselves.
    """
    if "TF_CPP_MIN_LOG_LEVEL" in os.environ:
        return
    os.environ["TF_CPP_MIN_LOG_LEVEL"] = "3"
    screen = os.dup(2)
    with tempfile.TemporaryFile() as said:
        os.dup2(said.fileno(), 2)
        try:
            import tensorflow  # noqa: F401
        except ImportError:
            said.seek(0)
            os.write(screen, said.read())
            raise
        finally:
            os.dup2(screen, 2)
            os.close(screen)


@contextmanager
def progress() -> Iterator[Callable[[str, int], None]]:
    """A bar on standard error, advanced by each call; where that is no terminal, a line every half minute."""
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

    console = Console(file=sys.stderr)
    if not console.is_terminal:
        yield _Lines()
        return
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    with Progress(*columns, console=console) as bar:
        task = bar.add_task("start", total=None)
        yield lambda text, total: bar.update(task, advance=1, total=total, description=text)


class _Lines:
    """Progress for logs."""

    def __init__(self) -> None:
        self._done, self._told_s = 0, time.monotonic()

    def __call__(self, text: str, total: int) -> None:
        self._done += 1
        now_s = time.monotonic()
        if now_s - self._told_s >= _LINE_EVERY_S:
            self._told_s = now_s
            print(f"{text}, {self._done} of {total}", file=sys.stderr, flush=True)
