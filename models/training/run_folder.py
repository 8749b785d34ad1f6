"""The folder of one training run: settings, log, checkpoint and what came of it."""

from __future__ import annotations

import csv
import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from agent.errors import ConfigError, DataError, StorageError
from models.training.checkpoint import load_checkpoint, read_meta, save_checkpoint


class RunFolder:
    """Keeps a training's files and lets it go on where it was killed.

    Args:
        path: of the folder; is made.
        settings: JSON values that must be the same when the training goes on.

    Raises:
        ConfigError: the folder holds a training with other settings.
        DataError: its settings cannot be read.
        StorageError: the folder cannot be made, or the settings not written.
    """

    def __init__(self, path: Path, settings: Mapping[str, Any]) -> None:
        self.path = path
        self.settings = dict(settings)
        self._log = path / "log.csv"
        self._checkpoint = path / "checkpoint.npz"
        try:
            path.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise StorageError(
                str(path), f"expected to make a folder, got {error.strerror or error}"
            ) from error
        file = path / "settings.json"
        if self._checkpoint.is_file() and file.is_file():
            stored = _read_settings(file)
            differing = sorted(
                key
                for key in {*stored, *self.settings}
                if stored.get(key) != json.loads(json.dumps(self.settings.get(key)))
            )
            if differing:
                key = differing[0]
                raise ConfigError(
                    f"{file} {key}",
                    f"expected {stored.get(key)!r} as when this training began, "
                    f"got {self.settings.get(key)!r}",
                    "train into another folder, or remove this one",
                )
        _write_settings(file, self.settings)

    @property
    def has_checkpoint(self) -> bool:
        """True when there is a training to go on with."""
        return self._checkpoint.is_file()

    def save(self, groups: Mapping[str, Any], meta: Mapping[str, Any]) -> None:
        """Keep the state after an epoch."""
        save_checkpoint(self._checkpoint, groups, meta)

    def restore(self, groups: Mapping[str, Any]) -> dict[str, Any]:
        """Set variables to the state after the last whole epoch and cut the log there.

        Returns:
            The plain values that were saved with it; they hold "epoch", the number of whole epochs.
        """
        meta = read_meta(self._checkpoint)
        load_checkpoint(self._checkpoint, groups)
        rows = [row for row in self.log() if int(row["epoch"]) <= int(meta["epoch"])]
        self._log.unlink(missing_ok=True)
        for row in rows:
            self.append(row)
        return meta

    def append(self, row: Mapping[str, Any]) -> None:
        """Add a line to `log.csv`; every line has the same columns."""
        new = not self._log.is_file()
        with self._log.open("a", newline="", encoding="utf-8") as file:
            writer = csv.DictWriter(file, fieldnames=list(row))
            if new:
                writer.writeheader()
            writer.writerow(row)

    def log(self) -> list[dict[str, str]]:
        """The lines of `log.csv`.

        Raises:
            DataError: a line was cut.
        """
        if not self._log.is_file():
            return []
        with self._log.open(newline="", encoding="utf-8") as file:
            rows = list(csv.DictReader(file))
        if any(None in row or None in row.values() for row in rows):
            raise DataError(str(self._log), "expected whole lines, got one that was cut", "remove that line")
        return rows


def _read_settings(file: Path) -> dict[str, Any]:
    try:
        stored = json.loads(file.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise DataError(
            str(file), f"expected the settings of this training, got {error}",
            "remove that file to go on with the settings given",
        ) from error  # fmt: skip
    if not isinstance(stored, dict):
        raise DataError(str(file), f"expected the settings of this training, got {stored!r:.80}", "remove it")
    return stored


def _write_settings(file: Path, settings: Mapping[str, Any]) -> None:
    """By a rename: a training that is killed leaves the old file or the new one, never half of one."""
    fresh = file.with_name(f"{file.name}.{os.getpid()}")
    try:
        fresh.write_text(json.dumps(settings, indent=2) + "\n", encoding="utf-8")
        fresh.replace(file)
    except OSError as error:
        fresh.unlink(missing_ok=True)
        raise StorageError(str(file), f"expected to write it, got {error.strerror or error}") from error
