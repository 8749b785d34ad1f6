"""Running the compiler: a stand-in replays real logs and leaves real, half or no files."""

from __future__ import annotations

import os
import shlex
import shutil
import subprocess
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from agent.errors import DataError, ModelError, StorageError
from converter.edgetpu.compiler import compile_for_edgetpu, container_command, find_compiler
from tests.conftest import wait_until

StandIn = Callable[..., Path]
pytestmark = pytest.mark.data


@pytest.fixture
def model(shared_data: Path, tmp_path: Path) -> Path:
    return Path(shutil.copy(shared_data / "edgetpu_pairs" / "mobilenet_v1_0.25_128_quant.tflite", tmp_path))


@pytest.fixture
def compiled(shared_data: Path) -> Path:
    return shared_data / "edgetpu_pairs" / "mobilenet_v1_0.25_128_quant_edgetpu.tflite"


def test_result_stands_beside_the_log(model: Path, compiled: Path, stand_in: StandIn, tmp_path: Path) -> None:
    result = compile_for_edgetpu(model, tmp_path / "out", compiler=stand_in("streamed_16", compiled))
    (path,) = result.files
    assert path == tmp_path / "out" / "mobilenet_v1_0.25_128_quant_edgetpu.tflite"
    assert path.read_bytes() == compiled.read_bytes()
    assert result.log.models[0].total == 50
    assert [p.name for p in path.parent.iterdir()] == [path.name]


def test_difference_to_the_static_verdict_is_said(
    model: Path, compiled: Path, stand_in: StandIn, tmp_path: Path
) -> None:
    result = compile_for_edgetpu(model, tmp_path, compiler=stand_in("partly_mapped_15", compiled))
    assert result.surprises == ("the compiler mapped 2 operators, `inspect` expects 31",)


def test_relative_path_of_the_compiler_is_understood(
    model: Path, compiled: Path, stand_in: StandIn, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    program = stand_in("streamed_16", compiled)
    monkeypatch.chdir(program.parent)
    result = compile_for_edgetpu(model, tmp_path / "out", compiler=Path(f"./{program.name}"))
    assert result.files[0].exists()


def test_segments_give_one_file_each_in_order(
    model: Path, compiled: Path, stand_in: StandIn, tmp_path: Path
) -> None:
    program = stand_in("segments_16", compiled)
    result = compile_for_edgetpu(model, tmp_path / "out", compiler=program, segments=3)
    names = [f"mobilenet_v1_0.25_128_quant_segment_{i}_of_3_edgetpu.tflite" for i in range(3)]
    assert [path.name for path in result.files] == names
    assert len(result.log.models) == 3


def test_compiler_on_the_path_is_found(
    model: Path, compiled: Path, stand_in: StandIn, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    program = stand_in("streamed_16", compiled)
    monkeypatch.setenv("PATH", f"{program.parent}{os.pathsep}{os.environ['PATH']}")
    assert find_compiler() == program
    assert compile_for_edgetpu(model, tmp_path / "out").files[0].exists()


@pytest.mark.parametrize(
    ("log", "mode", "has_result", "message"),
    [
        ("newer_operator_16", "ok", False, "operator CONV_2D version 6 is newer than the compiler knows"),
        ("large_activations_16", "ok", False, "activations are too large"),
        ("silent_15", "silent-failure", True, "printed no reason"),
        ("crash_16", "half", True, "crashed"),
        ("streamed_16", "half", True, "the compiler failed"),
    ],
)
def test_failure_leaves_no_file(
    model: Path, compiled: Path, stand_in: StandIn, tmp_path: Path,
    log: str, mode: str, has_result: bool, message: str,
) -> None:  # fmt: skip
    program = stand_in(log, compiled if has_result else None, mode)
    with pytest.raises(ModelError, match=message):
        compile_for_edgetpu(model, tmp_path / "out", compiler=program)
    assert not (tmp_path / "out").exists()


def test_time_out_ends_the_compiler_and_its_children(
    model: Path, compiled: Path, stand_in: StandIn, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    program, child = stand_in("streamed_16", compiled, "hang"), tmp_path / "child"
    monkeypatch.setenv("STAND_IN_CHILD", str(child))
    started = time.monotonic()
    with pytest.raises(ModelError, match=r"expected an end within 5\.5 s"):
        compile_for_edgetpu(model, tmp_path / "out", compiler=program, timeout_s=5.5)
    assert time.monotonic() - started < 60
    assert not (tmp_path / "out").exists()
    command_line = Path(f"/proc/{child.read_text()}/cmdline")  # empty of one that has ended

    def ended() -> bool:
        try:
            return not command_line.read_bytes()
        except (FileNotFoundError, ProcessLookupError):
            return True

    wait_until(ended, 60, "end of the compiler's child")


def test_failed_run_keeps_the_earlier_result(
    model: Path, compiled: Path, stand_in: StandIn, tmp_path: Path
) -> None:
    (path,) = compile_for_edgetpu(model, tmp_path, compiler=stand_in("streamed_16", compiled)).files
    with pytest.raises(ModelError):
        compile_for_edgetpu(model, tmp_path, compiler=stand_in("streamed_16", compiled, "half"))
    assert path.read_bytes() == compiled.read_bytes()


def test_output_that_cannot_be_written_is_a_storage_error(
    model: Path, compiled: Path, stand_in: StandIn, tmp_path: Path
) -> None:
    (tmp_path / "file").write_text("in the way", encoding="utf-8")
    with pytest.raises(StorageError):
        compile_for_edgetpu(model, tmp_path / "file", compiler=stand_in("streamed_16", compiled))


def test_missing_compiler_gives_the_container_command(
    model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(ModelError) as caught:
        compile_for_edgetpu(model, tmp_path)
    assert "not tried here" in str(caught.value)
    assert container_command(model, tmp_path) in str(caught.value)


def test_container_command_is_one_valid_shell_line(tmp_path: Path) -> None:
    model = tmp_path / "it's a model; rm -rf $HOME.tflite"
    command = container_command(model, tmp_path / "out", segments=2, min_runtime=13)
    assert "\n" not in command
    words = shlex.split(command)
    assert words[:2] == ["docker", "run"]
    subprocess.run(["sh", "-n", "-c", command], check=True)
    subprocess.run(["sh", "-n", "-c", words[-1]], check=True)
    inner = shlex.split(words[-1].split(" && ")[-1])
    assert inner[0] == "edgetpu_compiler"
    assert inner[-1] == f"/in/{model.name}"
    assert inner[inner.index("--num_segments") + 1] == "2"


def test_program_that_cannot_run_is_named(model: Path, tmp_path: Path) -> None:
    with pytest.raises(ModelError, match="no file that can be run"):
        compile_for_edgetpu(model, tmp_path, compiler=tmp_path / "nothing")
    broken = tmp_path / "broken"
    broken.write_bytes(b"\x7fELF of another machine")
    broken.chmod(0o755)
    with pytest.raises(ModelError, match="a program that runs here"):
        compile_for_edgetpu(model, tmp_path, compiler=broken)


def test_compiled_or_damaged_model_is_refused_before_running(
    compiled: Path, stand_in: StandIn, tmp_path: Path
) -> None:
    program = stand_in("streamed_16", compiled)
    with pytest.raises(ModelError, match="compiled already"):
        compile_for_edgetpu(compiled, tmp_path, compiler=program)
    damaged = tmp_path / "damaged.tflite"
    damaged.write_bytes(compiled.read_bytes()[:300])
    with pytest.raises(DataError):
        compile_for_edgetpu(damaged, tmp_path, compiler=program)


def test_name_that_looks_like_an_option_is_no_option(
    model: Path, compiled: Path, stand_in: StandIn, tmp_path: Path
) -> None:
    odd = model.rename(tmp_path / "-s name.tflite")
    (path,) = compile_for_edgetpu(odd, tmp_path / "out", compiler=stand_in("streamed_16", compiled)).files
    assert path.name == "-s name_edgetpu.tflite"
