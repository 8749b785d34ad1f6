"""A registered model onto the disk: its files, verified, and the ModelSpec beside them."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from numpy.typing import NDArray

from agent.errors import DataError, EdgetrackError, StorageError
from agent.vision.model_spec import ModelSpec, Provenance, save_spec, spec_path
from models.registry.begun import discard
from models.registry.catalogue import ModelFile, RegisteredModel, Registry
from models.registry.download import OnBytes, Patience, download
from models.registry.lock import LOCK_NAME, LockedFile, add_to_lock, read_lock

ProgressOf = Callable[[ModelFile], OnBytes]


@dataclass(frozen=True, slots=True)
class Pulled:
    """One file of a model that now lies in the folder.

    Args:
        path: where.
        sha256: of it.
        trust: how far that hash could be checked, in words.
        fetched: False where it lay there already.
    """

    path: Path
    sha256: str
    trust: str
    fetched: bool


def pull_files(
    model: RegisteredModel,
    folder: Path,
    progress: ProgressOf,
    *,
    replace: bool = False,
    patience: Patience | None = None,
) -> Iterator[Pulled]:
    """Fetch and verify every file of a model; each appears in the folder only once it is whole.

    Args:
        folder: made where it is missing.
        replace: fetch again what lies there, and trust anew what the lock says otherwise of.

    Raises:
        DataError: a file is not the one that the registry or the lock names, or another model's of the same
            name lies there; nothing is replaced by it.
        EdgetrackError: as `download`.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise StorageError(str(folder), f"expected a folder, got {error.strerror or error}") from error
    for file in model.files:
        yield _pull_file(file, folder, progress(file), replace, patience)


def _pull_file(
    file: ModelFile, folder: Path, on_bytes: OnBytes, replace: bool, patience: Patience | None
) -> Pulled:
    target = folder / file.name
    locked = read_lock(folder).files.get(file.name)
    first_seen = locked.sha256 if locked and not replace else None
    expected = file.sha256 or first_seen
    if file.sha256 is None and locked and locked.url != file.url and not replace:
        raise DataError(
            str(target),
            f"expected the file of {file.url}, got one of this name from {locked.url}",
            "pull into another folder, or give --force to replace it",
        )
    if target.exists() and not replace:
        digest = _digest(target)
        if expected is None:
            raise DataError(
                str(target),
                "expected a file that was pulled, got one of unknown origin",
                "move it, or give --force",
            )
        _check(str(target), file, first_seen, digest)
        return Pulled(target, digest, _trust(file, first_seen, digest), fetched=False)
    part = target.with_name(target.name + ".part")
    digest = download(file.url, part, file.max_bytes, on_bytes, patience)
    try:
        _check(file.url, file, first_seen, digest)
    except EdgetrackError:
        discard(part)
        raise
    add_to_lock(folder, file.name, LockedFile(url=file.url, sha256=digest))
    try:
        part.replace(target)
    except OSError as error:
        raise StorageError(str(target), f"expected to write it, got {error.strerror or error}") from error
    return Pulled(target, digest, _trust(file, first_seen, digest), fetched=True)


def _check(where: str, file: ModelFile, first_seen: str | None, digest: str) -> None:
    """Refuse a file that is not the one that is known.

    Raises:
        DataError: its hash is another.
    """
    if file.sha256 is not None and digest != file.sha256:
        raise DataError(
            where, f"expected sha256 {file.sha256}, got {digest}", "do not use it; see its origin"
        )
    if file.sha256 is None and first_seen is not None and digest != first_seen:
        raise DataError(
            where,
            f"expected sha256 {first_seen} as in {LOCK_NAME}, got {digest}",
            "it changed since the first pull; --force trusts it anew",
        )


def _trust(file: ModelFile, first_seen: str | None, digest: str) -> str:
    """How far a hash was checked."""
    if file.sha256 is not None:
        return "verified, as the registry states it"
    if file.measured_sha256 == digest:
        return "the very file that the project measured"
    if first_seen is not None:
        return f"the same as at the first pull ({LOCK_NAME})"
    other = ", and it is not the file that the project measured" if file.measured_sha256 else ""
    return (
        f"NOT verified: the registry states no hash of it{other}; trusted now, kept in {LOCK_NAME}, "
        "and every later pull must match"
    )


def write_spec(registry: Registry, name: str, pulled: list[Pulled], *, replace: bool = False) -> Path | None:
    """Write the ModelSpec beside the files.

    Args:
        pulled: all files of the model.
        replace: overwrite one that lies there, which may have been edited.

    Returns:
        Where it was written; None where one lay there and was kept.

    Raises:
        ModelError: the file cannot be loaded, or is no detector of a known layout.
        StorageError: the spec cannot be written.
    """
    first = pulled[0]
    path = spec_path(first.path)
    if path.exists() and not replace:
        return None
    spec = registry.spec_of(name)
    if spec.input is None:
        spec = _completed(first.path, registry.models[name], spec)
    provenance = Provenance(
        source=registry.models[name].files[0].url,
        licence=registry.models[name].licence,
        command=f"edgetrack-models pull {name}",
        sha256=first.sha256,
    )
    try:
        save_spec(spec.model_copy(update={"provenance": provenance}), path)
    except OSError as error:
        raise StorageError(str(path), f"expected to write it, got {error.strerror or error}") from error
    return path


def _completed(path: Path, model: RegisteredModel, spec: ModelSpec) -> ModelSpec:
    """The spec that the agent infers from a `.tflite` file, with what the registry adds to it."""
    from agent.detect.interpreter import Interpreter
    from agent.vision.infer_spec import infer_spec

    interpreter = Interpreter(path)

    def run_blank() -> list[NDArray[Any]]:
        interpreter.input_view(0)[...] = 0
        interpreter.invoke()
        return [interpreter.output(index).copy() for index in range(len(interpreter.outputs))]

    inferred = infer_spec(path, interpreter.inputs, interpreter.outputs, run_blank, spec.labels)
    return inferred.model_copy(update={key: getattr(spec, key) for key in model.spec})


def _digest(path: Path) -> str:
    try:
        with path.open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()
    except OSError as error:
        raise StorageError(str(path), f"expected to read it, got {error.strerror or error}") from error
