"""The configuration file as the page changes it: checked, kept, replaced whole, taken anew."""

from __future__ import annotations

import contextlib
import hashlib
import os
import shutil
import tempfile
import threading
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from agent.config import load_config
from agent.errors import ConfigError, EdgetrackError, StorageError
from agent.web.config_edit import with_change, without_place
from agent.web.trial import Draft, Removal

_KEPT = 5
_HINT = "copy the YAML and put it in by hand, as a user who may"
_HINT_UNDO = "put the version before back by hand, from the file's .bak"


@dataclass(frozen=True, slots=True)
class Saved:
    """A change that was taken.

    Args:
        kept: where the version before is.
        version: names the file's content now and before, to undo this change by.
    """

    kept: Path
    version: str


class ConfigFile:
    """The file that the agent runs from.

    Args:
        path: it.
        reload: checks and takes the configuration anew.
    """

    def __init__(self, path: Path, reload: Callable[[], None]) -> None:
        self._path = path.resolve()
        self._reload = reload
        self._lock = threading.Lock()

    @property
    def name(self) -> str:
        """Of the file."""
        return self._path.name

    @property
    def obstacle(self) -> str | None:
        """Why it cannot be changed; None where it can."""
        folder = self._path.parent
        for place, what in ((folder, "a folder"), (self._path, "a file")):
            if not os.access(place, os.W_OK):
                read_only = os.statvfs(place).f_flag & os.ST_RDONLY
                got = "a read-only one" if read_only else "one that it may not"
                return f"{place}: expected {what} that the agent may write, got {got}"
        return None

    def save(self, camera: str, draft: Draft) -> Saved:
        """Put a place and its rule into the file, and have it taken.

        Args:
            camera: its name.
            draft: what was drawn.

        Raises:
            StorageError: the file cannot be written; nothing has changed.
            ConfigError: the new version has faults; nothing has changed.
            EdgetrackError: the new version could not be taken; the one before is back.
        """
        shape, rule = draft.content()
        return self._put(lambda text: with_change(text, camera, draft.section, draft.name, shape, rule))

    def remove(self, camera: str, removal: Removal) -> Saved:
        """Take a place and the rules that watch it out of the file, and have it taken.

        Args:
            camera: its name.
            removal: what is to go.

        Raises:
            EdgetrackError: as of `save`; other zones or cameras that still need the place are faults.
        """
        return self._put(lambda text: without_place(text, camera, removal.section, removal.name))

    def undo(self, version: str) -> Saved:
        """Bring back the version before a change, and have it taken.

        Args:
            version: that `save`, `remove` or `undo` returned; the file must hold what it held then.

        Raises:
            ConfigError: the file has changed since, or the version before is kept no more; nothing is done.
            EdgetrackError: as of `save`.
        """
        now, _, before = version.partition("-")

        def restored(text: str) -> str:
            if _hash(text.encode()) != now:
                raise ConfigError(self.name, "expected the version saved here, got a newer one", _HINT_UNDO)
            for number in range(1, _KEPT + 1):
                kept = self._kept(number)
                if kept.exists() and _hash(content := kept.read_bytes()) == before:
                    return content.decode()
            problem = "expected the version before among those kept, got newer ones"
            raise ConfigError(self.name, problem, _HINT_UNDO)

        return self._put(restored)

    def _put(self, change: Callable[[str], str]) -> Saved:
        with self._lock:
            if (obstacle := self.obstacle) is not None:
                where, _, problem = obstacle.partition(": ")
                raise StorageError(where, problem, _HINT)
            try:
                old = self._path.read_bytes()
                new = change(old.decode()).encode()
                kept = self._replace(new, keep=True)
            except UnicodeDecodeError as error:
                raise ConfigError(str(self._path), "expected UTF-8 text, got other bytes", _HINT) from error
            except OSError as error:
                problem = f"expected a file that can be written, got {error.strerror or error}"
                raise StorageError(str(self._path), problem, _HINT) from error
            try:
                self._reload()
            except EdgetrackError:
                with contextlib.suppress(OSError):
                    self._replace(old, keep=False)
                    self._keep_less()
                raise
            self._kept(_KEPT + 1).unlink(missing_ok=True)
        return Saved(kept, f"{_hash(new)}-{_hash(old)}")

    def _replace(self, content: bytes, *, keep: bool) -> Path:
        """Write beside the file, check, keep the version before, and take its place in one step."""
        path = self._path
        handle, name = tempfile.mkstemp(".yaml", f".{path.stem}-", path.parent)
        unfinished = Path(name)
        try:
            with os.fdopen(handle, "wb") as file:
                file.write(content)
                file.flush()
                os.fsync(file.fileno())
            shutil.copymode(path, unfinished)
            with contextlib.suppress(OSError):  # only root may give a file away
                stat = path.stat()
                os.chown(unfinished, stat.st_uid, stat.st_gid)
            if keep:
                self._check(unfinished)
                self._keep()
            unfinished.replace(path)
        finally:
            unfinished.unlink(missing_ok=True)
        return self._kept(1)

    def _check(self, unfinished: Path) -> None:
        try:
            load_config(unfinished)
        except ConfigError as error:
            faults = tuple(fault.replace(str(unfinished), self.name) for fault in error.faults)
            where, _, problem = faults[0].partition(": ")
            raise ConfigError(where, problem, faults=faults) from error

    def _keep(self) -> None:
        """Keep the version of now as the newest; one too many is there until it is known to be taken."""
        for number in range(_KEPT, 0, -1):
            if self._kept(number).exists():
                self._kept(number).replace(self._kept(number + 1))
        shutil.copy2(self._path, self._kept(1))

    def _keep_less(self) -> None:
        """Take back `_keep`."""
        self._kept(1).unlink()
        for number in range(1, _KEPT + 1):
            if self._kept(number + 1).exists():
                self._kept(number + 1).replace(self._kept(number))

    def _kept(self, number: int) -> Path:
        """`edgetrack.yaml.bak`, `edgetrack.yaml.bak2` …, the newest first."""
        return self._path.with_name(f"{self._path.name}.bak{number if number > 1 else ''}")


def _hash(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()
