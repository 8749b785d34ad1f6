"""The real runtime on files that it may crash on, in a child process that is started again when it dies.

python -m tests.fuzz.native < PATHS
"""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from types import TracebackType
from typing import Self


class NativeLoader:
    """Loads and runs models, one after the other, elsewhere."""

    def __init__(self) -> None:
        self._process: subprocess.Popen[str] | None = None
        self.loaded = self.refused = self.crashed = 0

    def load(self, path: Path) -> None:
        """One file: loaded, refused or fatal."""
        if self._process is None:
            self._process = subprocess.Popen(
                [sys.executable, "-m", "tests.fuzz.native"],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=subprocess.DEVNULL,
                text=True,
                cwd=Path(__file__).parents[2],
            )
        process = self._process
        assert process.stdin is not None
        assert process.stdout is not None
        try:
            process.stdin.write(f"{path}\n")
            process.stdin.flush()
            answer = process.stdout.readline()
        except BrokenPipeError:
            answer = ""
        if answer == "loaded\n":
            self.loaded += 1
        elif answer == "refused\n":
            self.refused += 1
        else:
            self.crashed += 1
            self._end()

    def figures(self) -> dict[str, int]:
        return {
            "native_loaded": self.loaded,
            "native_refused": self.refused,
            "native_crashes_contained": self.crashed,
        }

    def _end(self) -> None:
        if self._process is not None:
            self._process.kill()
            self._process.communicate()
            self._process = None

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._end()


def main() -> None:
    from agent.detect.interpreter import Interpreter
    from agent.errors import ModelError

    for line in sys.stdin:
        try:
            Interpreter(Path(line.rstrip("\n")), threads=1).invoke()
            print("loaded", flush=True)
        except ModelError:
            print("refused", flush=True)


if __name__ == "__main__":
    main()
