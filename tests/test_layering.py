"""The doors of DESIGN.md, held shut: who may import whom, and where heavy packages may be imported."""

from __future__ import annotations

import ast
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
STAGES = ("capture", "detect", "track", "actions", "rules", "alerts")
CORE = (
    "backoff",
    "records",
    "errors",
    "settings",
    "geometry",
    "vision",
    "recording",
    "sequence_model",
    "stage_times",
    "time_zone",
    "yaml_file",
    "version",
)
# Modules of agent/ that join stages: the application, its commands and what they are made of.
JOINERS = (
    "app",
    "assembly",
    "bench",
    "camera_status",
    "camera_threads",
    "classify",
    "cli",
    "cli_watch",
    "client",
    "client_events",
    "client_gaps",
    "config",
    "config_check",
    "config_faults",
    "config_notes",
    "demo",
    "doctor",
    "example",
    "first_answers",
    "first_config",
    "footprint",
    "health",
    "metrics",
    "observers",
    "offline",
    "operations",
    "pipeline",
    "replay",
    "run_control",
    "service",
    "snapshot_folder",
    "soak",
    "watch",
    "web",
)
HEAVY = {
    "ai_edge_litert": "agent/detect/interpreter.py",
    "tflite_runtime": "agent/detect/interpreter.py",
    "paho": "agent/alerts/mqtt",
    "picamera2": "agent/capture/picamera.py",
    "libcamera": "agent/capture/picamera.py",
    "amqtt": "agent/alerts/embedded_broker",
    "starlette": "agent/web",
    "uvicorn": "agent/web",
    "prometheus_client": "agent/metrics",
}
WORKSTATION = {
    "tensorflow",
    "keras",
    "tf_keras",
    "onnx",
    "onnxruntime",
    "filterpy",
    "trackeval",
    "optuna",
    "matplotlib",
}


def modules(package: str) -> list[Path]:
    return sorted((ROOT / package).rglob("*.py"))


def imports(path: Path) -> Iterator[tuple[str, int]]:
    """Every module that a file imports, also within functions, with its line."""
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            for alias in node.names:
                yield alias.name, node.lineno
        elif isinstance(node, ast.ImportFrom) and node.module:
            yield node.module, node.lineno
            for alias in node.names:
                yield f"{node.module}.{alias.name}", node.lineno


def breaches(package: str, forbidden: tuple[str, ...]) -> list[str]:
    return [
        f"{path.relative_to(ROOT)}:{line} imports {name}"
        for path in modules(package)
        for name, line in imports(path)
        if any(name == bad or name.startswith(bad + ".") for bad in forbidden)
    ]


@pytest.mark.parametrize("stage", STAGES)
def test_stage_imports_no_other_stage_and_no_joiner(stage: str) -> None:
    others = [f"agent.{other}" for other in (*STAGES, *JOINERS) if other != stage]
    assert breaches(f"agent/{stage}", tuple(others)) == []


@pytest.mark.parametrize("part", CORE)
def test_core_imports_no_stage(part: str) -> None:
    paths = modules(f"agent/{part}") or [ROOT / "agent" / f"{part}.py"]
    above = tuple(f"agent.{name}" for name in (*STAGES, *JOINERS))
    found = [
        f"{path.relative_to(ROOT)}:{line} imports {name}"
        for path in paths
        if path.exists()
        for name, line in imports(path)
        if name.startswith(above)
    ]
    assert found == []


def test_agent_imports_neither_models_nor_converter() -> None:
    assert breaches("agent", ("models", "converter", *WORKSTATION)) == []


def test_models_and_converter_meet_only_through_files() -> None:
    assert breaches("models", ("converter",)) == []
    assert breaches("converter", ("models",)) == []


@pytest.mark.parametrize("package", ["models", "converter"])
def test_workstation_uses_only_the_core_and_the_interpreter_of_the_agent(package: str) -> None:
    doors = (
        "agent.detect.interpreter",
        "agent.detect.classifier",
        "agent.detect.embedder",
        "agent.detect.detector",
        "agent.detect.settings",
        "agent.track",
        "agent.actions",
    )
    forbidden = tuple(f"agent.{name}" for name in (*STAGES, *JOINERS))
    found = [
        f"{path.relative_to(ROOT)}:{line} imports {name}"
        for path in modules(package)
        for name, line in imports(path)
        if name.startswith(forbidden) and not name.startswith(doors) and name not in ("agent.detect",)
    ]
    assert found == []


@pytest.mark.parametrize(("heavy", "door"), HEAVY.items())
def test_heavy_package_is_imported_by_one_module(heavy: str, door: str) -> None:
    found = [
        f"{path.relative_to(ROOT)}:{line} imports {name}"
        for path in modules("agent")
        for name, line in imports(path)
        if name.split(".")[0] == heavy and not str(path.relative_to(ROOT)).startswith(door)
    ]
    assert found == []


def test_every_module_of_the_agent_has_a_room() -> None:
    known = {*STAGES, *CORE, *JOINERS, "__init__"}
    found = {path.relative_to(ROOT / "agent").parts[0].removesuffix(".py") for path in modules("agent")}
    assert found - known == set()


@pytest.mark.parametrize("program", ["agent.cli", "models.cli", "converter.cli"])
def test_help_imports_nothing_heavy(program: str) -> None:
    heavy = [*HEAVY, *WORKSTATION, "cv2", "scipy", "numpy"]
    code = (
        f"import sys\nfrom {program} import main\nsys.argv = ['x', '--help']\n"
        "try:\n    main()\nexcept SystemExit as stop:\n    assert not stop.code\n"
        f"print('HEAVY', sorted(set({heavy}) & set(sys.modules)))"
    )
    result = subprocess.run(
        [sys.executable, "-c", code],
        cwd=ROOT,
        env={**os.environ, "TERM": "dumb"},
        capture_output=True,
        text=True,
        check=True,
    )
    assert result.stdout.rstrip().endswith("HEAVY []"), result.stdout[-300:] + result.stderr
