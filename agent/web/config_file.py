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
        version: of the file now, to undo this change by.
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
        """Bring back the version before, and have it taken.

        Args:
            version: that `save` or `remove` returned; the file must still hold it.

        Raises:
            ConfigError: the file has changed since; nothing is done.
            EdgetrackError: as of `save`.
        """

        def restored(text: str) -> str:
            if _version_of(text.encode()) != version:
                raise ConfigError(self.name, "expected the version saved here, got a newer one", _HINT_UNDO)
            return self._kept(1).read_bytes().decode()

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
                raise
        return Saved(kept, _version_of(new))

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
        for number in range(_KEPT - 1, 0, -1):
            if self._kept(number).exists():
                self._kept(number).replace(self._kept(number + 1))
        shutil.copy2(self._path, self._kept(1))

    def _kept(self, number: int) -> Path:
        """`edgetrack.yaml.bak`, `edgetrack.yaml.bak2` …, the newest first."""
        return self._path.with_name(f"{self._path.name}.bak{number if number > 1 else ''}")


def _version_of(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()
