"""The registry file: what is known of each public model, checked before anything is fetched."""

from __future__ import annotations

from pathlib import Path, PurePosixPath
from typing import Annotated, Any, Literal
from urllib.parse import urlsplit

from pydantic import Field, ValidationError, field_validator, model_validator

from agent.errors import ConfigError
from agent.settings import Name, Section
from agent.vision.model_spec import ModelSpec
from agent.yaml_file import YamlFile
from models.registry.address import check_url

BUNDLED = Path(__file__).with_name("registry.yaml")
"""The registry that comes with the program."""

Sha256 = Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")]
RunsOn = Literal["cpu", "edgetpu", "workstation"]
_KINDS = {"cpu": ".tflite", "edgetpu": "_edgetpu.tflite", "workstation": ".onnx"}


class ModelFile(Section):
    """One file of a model."""

    url: str
    """Where it is fetched from: https, or http on this machine."""
    runs_on: RunsOn
    """`workstation`: an ONNX file, which `edgetrack-convert` turns into one that a device runs."""
    size_mb: float = Field(gt=0, le=500)
    """About; a download of more than twice this is refused."""
    sha256: Sha256 | None = None
    """Computed from what the URL serves; None where nobody of the project has."""
    measured_sha256: Sha256 | None = None
    """Of the copy that the project measured with; a difference is told, not refused."""

    @field_validator("url")
    @classmethod
    def _check_url(cls, url: str) -> str:
        try:
            check_url(url)
        except ConfigError as error:
            raise ValueError(error.problem) from error
        return url

    @model_validator(mode="after")
    def _check_kind(self) -> ModelFile:
        ending = _KINDS[self.runs_on]
        if not self.name.endswith(ending) or (
            self.runs_on == "cpu" and self.name.endswith("_edgetpu.tflite")
        ):
            raise ValueError(f"expected a URL that ends in NAME{ending} for {self.runs_on}, got {self.name}")
        return self

    @property
    def name(self) -> str:
        """The file's own name."""
        return PurePosixPath(urlsplit(self.url).path).name

    @property
    def max_bytes(self) -> int:
        """What a server may send of it."""
        return int(self.size_mb * 2_000_000) + 1_000_000


class RegisteredModel(Section):
    """One model."""

    about: str
    """What it finds, at which size."""
    licence: str
    """SPDX name."""
    origin: str
    """Page of its authors."""
    labels: str
    """Which of the registry's lists of class names it uses."""
    note: str = ""
    """What a user should know of the files."""
    files: tuple[ModelFile, ...] = Field(min_length=1)
    """For Edge TPU files the CPU file comes first: it is what the agent goes on with."""
    spec: dict[str, Any] = {}
    """Of the ModelSpec: all of it for ONNX files; for `.tflite` files what they do not say of themselves."""

    @property
    def size_mb(self) -> float:
        """Of all files together."""
        return sum(file.size_mb for file in self.files)


class Registry(Section):
    """The whole file."""

    labels: dict[str, tuple[str, ...]]
    """Lists of class names, in the order of their ids."""
    models: dict[Name, RegisteredModel] = Field(min_length=1)

    @model_validator(mode="after")
    def _check(self) -> Registry:
        for name, model in self.models.items():
            if model.labels not in self.labels:
                raise ValueError(
                    f"models.{name}.labels: expected one of {', '.join(self.labels)}, got {model.labels}"
                )
            self.spec_of(name)
        return self

    def spec_of(self, name: str) -> ModelSpec:
        """The ModelSpec as far as the registry knows it; `input` is None where the file itself tells.

        Raises:
            ValueError: what the registry says makes no ModelSpec.
        """
        model = self.models[name]
        content = {"name": Path(model.files[0].name).stem, "labels": self.labels[model.labels], **model.spec}
        complete = "input" in content
        task = "detection" if complete else "sequence"  # a detection model must have an input
        try:
            return ModelSpec.model_validate({**content, "task": task})
        except ValidationError as error:
            first = error.errors()[0]
            place = ".".join(str(part) for part in first["loc"])
            raise ValueError(f"models.{name}.spec.{place}: {first['msg']}") from error


def read_registry(path: Path = BUNDLED) -> Registry:
    """Read and check a registry.

    Raises:
        ConfigError: with a line for each fault.
    """
    file = YamlFile(path)
    try:
        return Registry.model_validate(file.content)
    except ValidationError as error:
        faults = []
        for fault in error.errors():
            place = [part for part in fault["loc"] if isinstance(part, str | int)]
            where = f"{path}:{file.line_of(place)} {'.'.join(map(str, place))}".rstrip()
            faults.append(f"{where}: {fault['msg'].removeprefix('Value error, ')}")
        raise ConfigError(str(path), faults[0], faults=tuple(faults)) from error
