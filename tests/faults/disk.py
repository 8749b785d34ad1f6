"""Small disks below an outbox that fail and are mended on demand; they need root, to mount them."""

from __future__ import annotations

import subprocess
from abc import ABC, abstractmethod
from contextlib import ExitStack
from pathlib import Path
from types import TracebackType
from typing import Self


class Disk(ABC):
    """A disk of its own below a folder, mounted within a `with` block.

    Args:
        folder: for what is needed.

    Raises:
        subprocess.CalledProcessError: on entering, this user or container may not mount.
    """

    def __init__(self, folder: Path) -> None:
        self.path = folder / "disk"
        self.path.mkdir()
        self._undo = ExitStack()

    @abstractmethod
    def make(self) -> None:
        """Mount it."""

    @abstractmethod
    def fail(self) -> None:
        """From here on it takes nothing, or soon."""

    @abstractmethod
    def mend(self) -> None:
        """From here on it works."""

    def mount(self, *options: str | Path, at: Path) -> None:
        """Until the end of the block."""
        run("mount", *options, at)
        self._undo.callback(run, "umount", at)

    def __enter__(self) -> Self:
        with self._undo:
            self.make()
            self._undo = self._undo.pop_all()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._undo.close()


class FullDisk(Disk):
    """256 kB, and 16 MB once it is mended."""

    def make(self) -> None:
        self.mount("-t", "tmpfs", "-o", "size=256k", "tmpfs", at=self.path)

    def fail(self) -> None:
        pass  # by what is written to it

    def mend(self) -> None:
        run("mount", "-o", "remount,size=16m", self.path)


class ReadOnlyDisk(Disk):
    """Read-only from the beginning, as an SD card that the kernel has given up."""

    def make(self) -> None:
        self.mount("-t", "tmpfs", "-o", "ro,size=16m", "tmpfs", at=self.path)

    def fail(self) -> None:
        pass  # it has from the beginning

    def mend(self) -> None:
        run("mount", "-o", "remount,rw", self.path)


class FailingDisk(Disk):
    """Takes writes into its cache and fails when they are to reach the medium (`fsync`).

    ext4 on a loop device whose backing file lies, with holes, on a tmpfs that is filled up: the kernel then
    ends writes to new blocks with an I/O error, below the file system, which itself has room.
    """

    def make(self) -> None:
        medium = self.path.with_name("medium")
        medium.mkdir()
        self.mount("-t", "tmpfs", "-o", "size=4m", "tmpfs", at=medium)
        self._filling, image = medium / "filling", medium / "image"
        with image.open("wb") as file:
            file.truncate(32 << 20)
        # Without a journal: one that failed would keep the file system read-only until it is mounted again.
        run("mkfs.ext4", "-q", "-O", "^has_journal", "-E", "lazy_itable_init=0,nodiscard", "-N", "64", image)
        device = run("losetup", "-f", "--show", image)
        self._undo.callback(run, "losetup", "-d", device)
        self.mount("-t", "ext4", device, at=self.path)

    def fail(self) -> None:
        with self._filling.open("wb", buffering=0) as file:
            try:
                while True:
                    file.write(bytes(1 << 16))
            except OSError:  # full
                return

    def mend(self) -> None:
        self._filling.unlink()


def run(*command: str | Path) -> str:
    """What a command prints.

    Raises:
        subprocess.CalledProcessError: it failed.
    """
    done = subprocess.run(command, check=True, capture_output=True, text=True, timeout=60)
    return done.stdout.strip()
