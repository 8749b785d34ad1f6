"""Running edgetpu_compiler: in a folder of its own, with a time-out, all its files or none."""

from __future__ import annotations

import math
import os
import shlex
import shutil
import signal
import subprocess
import tempfile
from dataclasses import dataclass
from pathlib import Path

from agent.errors import DataError, ModelError, StorageError
from converter.edgetpu.compiler_failures import explain_failure
from converter.edgetpu.compiler_log import CompilerLog, parse_log
from converter.edgetpu.verdict import judge
from converter.tflite_model.reader import read_tflite

PROGRAM = "edgetpu_compiler"
MAX_LOG_BYTES = 4 * 2**20


@dataclass(frozen=True, slots=True)
class Compilation:
    """A successful run.

    Args:
        files: written to the output folder: `name_edgetpu.tflite`, or one per segment in their order.
        log: what the compiler said.
        surprises: where that differs from what `inspect` says of the file.
    """

    files: tuple[Path, ...]
    log: CompilerLog
    surprises: tuple[str, ...]


def find_compiler(given: Path | None = None) -> Path | None:
    """The compiler that was asked for, or the one on PATH; None where there is none.

    Raises:
        ModelError: the one that was asked for cannot be run.
    """
    if given is not None:
        found = shutil.which(str(given.absolute())) or shutil.which(str(given))
        if found is None:
            raise ModelError(str(given), f"expected the {PROGRAM} program, got no file that can be run")
        return Path(found).absolute()  # it runs in another folder
    found = shutil.which(PROGRAM)
    return Path(found).absolute() if found else None


def container_command(model: Path, output: Path, segments: int = 1, min_runtime: int = 14) -> str:
    """One shell line that installs edgetpu_compiler in a Debian container and compiles a model there.

    The packages are Coral's own (coral.ai/docs/edgetpu/compiler), for x86-64 only.
    """
    repository = "https://packages.cloud.google.com/apt"
    key = "/usr/share/keyrings/coral.gpg"
    source = f"deb [signed-by={key}] {repository} coral-edgetpu-stable main"
    options = compiler_options("/out", segments, min_runtime, timeout_s=600)
    inside = " && ".join(
        (
            "apt-get update -q",
            "apt-get install -qy ca-certificates curl gnupg",
            f"curl -fsSL {repository}/doc/apt-key.gpg | gpg --dearmor -o {key}",
            f"echo '{source}' > /etc/apt/sources.list.d/coral.list",
            "apt-get update -q",
            "apt-get install -qy edgetpu-compiler",
            shlex.join([PROGRAM, *options, f"/in/{model.name}"]),
        )
    )
    return shlex.join(
        [
            "docker", "run", "--rm", "--platform", "linux/amd64",
            "-v", f"{model.resolve().parent}:/in:ro", "-v", f"{output.resolve()}:/out",
            "debian:bookworm-slim", "sh", "-c", inside,
        ]
    )  # fmt: skip


def compiler_options(output: str, segments: int, min_runtime: int, timeout_s: float) -> list[str]:
    """Command-line options: where to write, and how. The compiler's own time-out would be 180 s."""
    options = ["--show_operations", "--min_runtime_version", str(min_runtime), "--out_dir", output]
    options += ["--timeout_sec", str(math.ceil(timeout_s))]
    return options if segments == 1 else [*options, "--num_segments", str(segments)]


def compile_for_edgetpu(
    model: Path,
    output: Path,
    *,
    compiler: Path | None = None,
    segments: int = 1,
    min_runtime: int = 14,
    timeout_s: float = 600.0,
) -> Compilation:
    """Compile a `.tflite` file; the results stand in `output` only when the compiler succeeded.

    Args:
        model: a fully quantised `.tflite` file.
        output: folder for the compiled file or files; made if missing.
        compiler: the program; None: the one on PATH.
        segments: Edge TPUs that share the model in a pipeline; one file each.
        min_runtime: Edge TPU runtime version that the model must run on (10 to 14).
        timeout_s: after which the compiler is stopped.

    Raises:
        DataError: `model` is no readable TFLite file.
        ModelError: there is no compiler, or it failed or ran too long.
        StorageError: the results cannot be written.
    """
    content = read_tflite(model)
    if content.compiled_for_edgetpu:
        raise ModelError(
            str(model), "expected a model to compile, got one that is compiled already", "use it as it is"
        )
    program = find_compiler(compiler)
    if program is None:
        raise ModelError(
            PROGRAM,
            "expected the program on PATH, got none",
            f"install it, or run it in a container (this was not tried here):\n"
            f"{container_command(model, output, segments, min_runtime)}",
        )
    with tempfile.TemporaryDirectory(prefix="edgetpu-") as name:
        folder = Path(name)
        # A plain name of our own: the user's may begin with a dash, and the output's is made from it.
        source = folder / "in" / "model.tflite"
        target = folder / "out"
        try:
            source.parent.mkdir()
            target.mkdir()
            shutil.copyfile(model, source)
        except OSError as error:
            raise StorageError(str(folder), f"expected room for a copy of the model, got: {error}") from error
        command = [
            str(program),
            *compiler_options(str(target), segments, min_runtime, timeout_s),
            str(source),
        ]
        text, code = _run(command, folder, timeout_s)
        log = parse_log(text)
        names = _expected_names(segments)
        missing = [name for name in names if not _whole(target / name)]
        if code != 0 or missing:
            problem, hint = explain_failure(log)
            raise ModelError(str(model), problem, hint)
        files = _publish(model, output, [target / name for name in names], segments)
    return Compilation(files, log, _surprises(judge(content, min_runtime).mapped, log, segments))


def _expected_names(segments: int) -> list[str]:
    if segments == 1:
        return ["model_edgetpu.tflite"]
    return [f"model_segment_{i}_of_{segments}_edgetpu.tflite" for i in range(segments)]


def _whole(path: Path) -> bool:
    """A file that the compiler finished: half a flatbuffer has offsets that lead past its end."""
    try:
        read_tflite(path)
    except DataError:
        return False
    return True


def _run(command: list[str], folder: Path, timeout_s: float) -> tuple[str, int]:
    """Run the compiler and its children in a process group, so that a time-out ends them all."""
    log = folder / "log"
    try:
        with log.open("wb") as stream:
            process = subprocess.Popen(
                command,
                cwd=folder,
                stdin=subprocess.DEVNULL,
                stdout=stream,
                stderr=stream,
                start_new_session=True,
            )
            try:
                code = process.wait(timeout_s)
            except BaseException as error:
                _stop(process)
                if isinstance(error, subprocess.TimeoutExpired):
                    raise ModelError(
                        command[0],
                        f"expected an end within {timeout_s:g} s, got none",
                        "give it more with --timeout-s; a model too large for the chip can take for ever",
                    ) from None
                raise
    except OSError as error:
        raise ModelError(
            command[0], f"expected a program that runs here, got: {error.strerror or error}",
            "edgetpu_compiler is made for x86-64 Linux",
        ) from error  # fmt: skip
    with log.open("rb") as stream:
        return stream.read(MAX_LOG_BYTES).decode("utf-8", "replace"), code


def _stop(process: subprocess.Popen[bytes]) -> None:
    try:
        os.killpg(process.pid, signal.SIGKILL)
    except ProcessLookupError:
        return
    finally:
        process.wait()


def _publish(model: Path, output: Path, files: list[Path], segments: int) -> tuple[Path, ...]:
    """Move the results into `output`, each by a rename, so that no half file has a final name."""
    written: list[Path] = []
    waiting: list[Path] = []
    try:
        output.mkdir(parents=True, exist_ok=True)
        for i, file in enumerate(files):
            part = "" if segments == 1 else f"_segment_{i}_of_{segments}"
            final = output / f"{model.stem}{part}_edgetpu.tflite"
            partial = final.with_name(f".{final.name}.partial")
            waiting.append(partial)
            shutil.copyfile(file, partial)
            written.append(final)
        for partial, final in zip(waiting, written, strict=True):
            partial.replace(final)
    except OSError as error:
        for partial in waiting:
            partial.unlink(missing_ok=True)
        raise StorageError(
            str(output), f"expected room for {len(files)} compiled files, got: {error.strerror or error}"
        ) from error
    return tuple(written)


def _surprises(expected: int, log: CompilerLog, segments: int) -> tuple[str, ...]:
    """Where the compiler decided otherwise than the static verdict."""
    counts = [model.on_tpu for model in log.models if model.on_tpu is not None]
    if segments != 1 or not counts or sum(counts) == expected:
        return ()
    return (f"the compiler mapped {sum(counts)} operators, `inspect` expects {expected}",)
