"""`edgetrack-models list` and `pull`: what a user sees, and what lies in the folder afterwards."""

from __future__ import annotations

import hashlib
import json
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest
import yaml

from agent.errors import ConfigError
from agent.vision.model_spec import load_spec
from models.registry.catalogue import BUNDLED, read_registry
from models.registry.lock import LOCK_NAME
from tests.models.registry_site import Site, sites

ROOT = Path(__file__).resolve().parents[2]
CONTENT = os.urandom(50_000)
DIGEST = hashlib.sha256(CONTENT).hexdigest()
SPEC = {"decoder": "yolox", "strides": [8, 16, 32], "input": {"width": 64, "height": 64}}


@pytest.fixture
def serve() -> Iterator[Callable[..., Site]]:
    with sites() as start:
        yield lambda **behaviour: start(**{"content": CONTENT, **behaviour})


def run(*arguments: str | Path, **environment: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "models.cli", *map(str, arguments)],
        cwd=ROOT,
        env={**os.environ, "TERM": "dumb", **environment},
        capture_output=True,
        text=True,
        check=False,
        timeout=240,
    )


def registry_of(folder: Path, address: str, **file: object) -> Path:
    """A registry with one ONNX model, `tiny`."""
    entry = {"url": address, "runs_on": "workstation", "size_mb": 0.1, **file}
    model = {"about": "dots", "licence": "MIT", "origin": "https://models.example", "labels": "dots"}
    content = {"labels": {"dots": ["dot"]}, "models": {"tiny": {**model, "files": [entry], "spec": SPEC}}}
    path = folder / "registry.yaml"
    path.write_text(yaml.safe_dump(content))
    return path


def test_bundled_registry_names_every_model_with_licence_size_and_origin() -> None:
    registry = read_registry()
    assert {"yolox-nano", "fastestdet", "yunet", "ssd-mobilenet-v2", "ssdlite-mobiledet"} < set(
        registry.models
    )
    assert sum(name.startswith("efficientdet-lite") for name in registry.models) == 4
    for name, model in registry.models.items():
        kinds = [file.runs_on for file in model.files]
        assert kinds in (["workstation"], ["cpu", "edgetpu"]), name
        assert all(file.url.startswith("https://") for file in model.files)
        assert registry.spec_of(name).decoder is not None
        assert (registry.spec_of(name).input is None) == (kinds == ["cpu", "edgetpu"]), name
        if len(model.files) == 2:
            cpu, edgetpu = (Path(file.name).stem for file in model.files)
            assert edgetpu == f"{cpu}_edgetpu", "the agent finds the CPU file by this name"
    assert [len(labels) for labels in registry.labels.values()] == [80, 90, 1]


@pytest.mark.data
def test_measured_hashes_are_those_of_the_files_that_were_measured(shared_data: Path) -> None:
    files = [
        file for model in read_registry().models.values() for file in model.files if file.measured_sha256
    ]
    assert len(files) == 3
    for file in files:
        content = (shared_data / "models" / file.name).read_bytes()
        assert hashlib.sha256(content).hexdigest() == file.measured_sha256


def test_list_shows_every_model_as_table_and_as_json() -> None:
    table, as_json = run("list"), run("list", "--json")
    names = read_registry().models
    assert all(name in table.stdout for name in names)
    listed = json.loads(as_json.stdout)
    assert list(listed) == list(names)
    assert listed["yunet"]["licence"] == "Apache-2.0"
    assert listed["yunet"]["files"][0]["name"] == "yunet_n_320_320.onnx"


def test_list_and_pull_need_no_tensorflow() -> None:
    """A device has none."""
    code = "import sys, models.registry.pull, models.registry.commands\nprint('tensorflow' in sys.modules)"
    result = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True
    )
    assert result.stdout == "False\n"


def test_pull_with_a_stated_hash_verifies_and_writes_the_spec(
    serve: Callable[..., Site], tmp_path: Path
) -> None:
    registry = registry_of(tmp_path, serve().url, sha256=DIGEST)
    result = run("pull", "tiny", "-o", tmp_path / "out", "--registry", registry)
    assert result.returncode == 0, result.stderr
    assert f"sha256 {DIGEST}, verified, as the registry states it" in result.stdout
    assert "edgetrack-convert convert" in result.stdout
    assert (tmp_path / "out" / "tiny.onnx").read_bytes() == CONTENT
    spec = load_spec(tmp_path / "out" / "tiny.json")
    assert (spec.decoder, spec.labels, spec.task) == ("yolox", ("dot",), "detection")
    assert (spec.provenance.licence, spec.provenance.sha256) == ("MIT", DIGEST)
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == [LOCK_NAME, "tiny.json", "tiny.onnx"]


def test_wrong_hash_is_refused_and_nothing_is_left(serve: Callable[..., Site], tmp_path: Path) -> None:
    registry = registry_of(tmp_path, serve().url, sha256="0" * 64)
    result = run("pull", "tiny", "-o", tmp_path / "out", "--registry", registry)
    assert result.returncode == 65
    assert f"expected sha256 {'0' * 64}, got {DIGEST}; do not use it" in result.stderr
    assert "Traceback" not in result.stderr
    assert list((tmp_path / "out").iterdir()) == []


def test_without_a_hash_the_first_pull_is_trusted_and_told_so(
    serve: Callable[..., Site], tmp_path: Path
) -> None:
    site = serve()
    registry, out = registry_of(tmp_path, site.url), tmp_path / "out"
    first = run("pull", "tiny", "-o", out, "--registry", registry)
    assert first.returncode == 0, first.stderr
    assert f"sha256 {DIGEST}, NOT verified" in first.stdout
    assert json.loads((out / LOCK_NAME).read_text())["files"]["tiny.onnx"]["sha256"] == DIGEST

    again = run("pull", "tiny", "-o", out, "--registry", registry)
    assert "there already" in again.stdout
    assert "the same as at the first pull" in again.stdout
    assert len(site.requests) == 1

    (out / "tiny.onnx").unlink()
    site.content, site.etag = CONTENT[::-1], '"v2"'
    changed = run("pull", "tiny", "-o", out, "--registry", registry)
    assert changed.returncode == 65
    assert f"expected sha256 {DIGEST} as in {LOCK_NAME}" in changed.stderr
    assert not (out / "tiny.onnx").exists()

    forced = run("pull", "tiny", "-o", out, "--registry", registry, "--force")
    assert forced.returncode == 0, forced.stderr
    assert (out / "tiny.onnx").read_bytes() == CONTENT[::-1]


def test_file_of_another_model_with_the_same_name_is_not_taken_for_it(
    serve: Callable[..., Site], tmp_path: Path
) -> None:
    one, two, out = serve(), serve(content=CONTENT[::-1]), tmp_path / "out"
    assert run("pull", "tiny", "-o", out, "--registry", registry_of(tmp_path, one.url)).returncode == 0
    other = registry_of(tmp_path, two.url)
    refused = run("pull", "tiny", "-o", out, "--registry", other)
    assert refused.returncode == 65
    assert f"expected the file of {two.url}, got one of this name from {one.url}" in refused.stderr
    assert "another folder" in refused.stderr
    assert (out / "tiny.onnx").read_bytes() == CONTENT
    assert run("pull", "tiny", "-o", out, "--registry", other, "--force").returncode == 0
    assert (out / "tiny.onnx").read_bytes() == CONTENT[::-1]


def test_damaged_file_on_the_disk_is_found(serve: Callable[..., Site], tmp_path: Path) -> None:
    registry, out = registry_of(tmp_path, serve().url), tmp_path / "out"
    run("pull", "tiny", "-o", out, "--registry", registry)
    (out / "tiny.onnx").write_bytes(CONTENT[:-1] + b"!")
    result = run("pull", "tiny", "-o", out, "--registry", registry)
    assert result.returncode == 65
    assert "expected sha256" in result.stderr


def test_file_and_spec_of_the_user_are_not_overwritten(serve: Callable[..., Site], tmp_path: Path) -> None:
    registry, out = registry_of(tmp_path, serve().url), tmp_path / "out"
    out.mkdir()
    (out / "tiny.onnx").write_bytes(b"mine")
    result = run("pull", "tiny", "-o", out, "--registry", registry)
    assert result.returncode == 65
    assert "got one of unknown origin; move it, or give --force" in result.stderr
    assert (out / "tiny.onnx").read_bytes() == b"mine"
    (out / "tiny.onnx").unlink()
    (out / "tiny.json").write_text("{}")
    kept = run("pull", "tiny", "-o", out, "--registry", registry)
    assert "the ModelSpec that was there is kept" in kept.stdout
    assert (out / "tiny.json").read_text() == "{}"


def test_file_that_the_project_measured_is_recognised(serve: Callable[..., Site], tmp_path: Path) -> None:
    registry = registry_of(tmp_path, serve().url, measured_sha256=DIGEST)
    result = run("pull", "tiny", "-o", tmp_path / "out", "--registry", registry)
    assert "the very file that the project measured" in result.stdout


def test_missing_file_is_one_line(serve: Callable[..., Site], tmp_path: Path) -> None:
    registry = registry_of(tmp_path, serve(statuses=[404]).url)
    result = run("pull", "tiny", "-o", tmp_path / "out", "--registry", registry)
    assert result.returncode == 69
    assert result.stderr.count("\n") == 1
    assert "got 404 Not Found" in result.stderr


def test_unknown_name_tells_the_known_ones() -> None:
    result = run("pull", "yolox")
    assert result.returncode == 78
    assert "expected one of yolox-nano, fastestdet" in result.stderr


@pytest.mark.parametrize(
    ("change", "told"),
    [
        ({"sha256": "abc"}, "should match pattern"),
        ({"url": "http://models.example/tiny.onnx"}, "expected https://"),
        ({"runs_on": "cpu"}, "expected a URL that ends in NAME.tflite for cpu, got tiny.onnx"),
        ({"size": 3}, "Extra inputs are not permitted"),
    ],
)
def test_fault_in_a_registry_names_its_line(tmp_path: Path, change: dict[str, object], told: str) -> None:
    path = registry_of(tmp_path, "https://models.example/tiny.onnx", **change)
    with pytest.raises(ConfigError) as caught:
        read_registry(path)
    assert told in str(caught.value.faults)
    assert f"{path}:" in caught.value.faults[0]


@pytest.mark.slow
def test_edge_tpu_pair_is_pulled_with_a_spec_that_its_cpu_file_shows(
    serve: Callable[..., Site], tmp_path: Path
) -> None:
    """With a real file that ends in TFLite_Detection_PostProcess, as Coral's do."""
    pytest.importorskip("tensorflow", reason="writes the model")
    script = ROOT / "tests" / "agent" / "detect" / "make_models.py"
    subprocess.run([sys.executable, str(script), str(tmp_path)], check=True, capture_output=True)
    site = serve(content=(tmp_path / "ssd.tflite").read_bytes())
    base = site.url.rpartition("/")[0]
    content = yaml.safe_load(BUNDLED.read_text())
    model = content["models"]["ssdlite-mobiledet"]
    for file, name in zip(model["files"], ("ssd.tflite", "ssd_edgetpu.tflite"), strict=True):
        file["url"] = f"{base}/{name}"
    content["models"] = {"ssd": model}
    (tmp_path / "registry.yaml").write_text(yaml.safe_dump(content))
    out = tmp_path / "out"
    result = run("pull", "ssd", "-o", out, "--registry", tmp_path / "registry.yaml")
    assert result.returncode == 0, result.stderr
    assert f"detector: {{model: {out / 'ssd_edgetpu.tflite'}, device: edgetpu}}" in result.stdout
    spec = load_spec(out / "ssd.json")
    assert spec.decoder == "ssd-postprocess"
    assert spec.input is not None
    assert (spec.input.resize, spec.input.mean) == ("stretch", (127.5,))
    assert spec.labels[1] == "bicycle"

    from agent.detect.settings import DetectorSettings
    from agent.detect.tflite_detector import TfliteDetector
    from agent.records import Frame

    detector = TfliteDetector(DetectorSettings(model=out / "ssd.tflite"))
    white = np.full((64, 64, 3), 255, np.uint8)
    found = detector.detect(Frame(white, 0.0, 0.0, 0))
    assert [detector.labels[label] for label in found.labels[:1]] == ["bicycle"]
