"""`edgetrack-convert inspect` and `compile` as a user or a script calls them."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

pytestmark = pytest.mark.data


def convert(*arguments: str | Path, **environment: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-c", "from converter.cli import main; main()", *map(str, arguments)],
        cwd=Path(__file__).resolve().parents[3],
        env={**os.environ, "COLUMNS": "160", "NO_COLOR": "1", "TERM": "dumb", **environment},
        capture_output=True,
        text=True,
        check=False,
    )


def test_json_holds_every_operator_with_its_reason(shared_data: Path) -> None:
    done = convert("inspect", "--json", shared_data / "models" / "movenet_single_pose_lightning_ptq.tflite")
    assert done.returncode == 1
    content = json.loads(done.stdout)
    operators = content["operators"]
    assert content["total"] == len(operators) == 157
    assert content["mapped"] == sum(op["maps"] for op in operators) == 98
    assert [op["index"] for op in operators] == list(range(157))
    assert all({"index", "name", "version", "maps", "reason"} <= op.keys() for op in operators)
    assert all((op["reason"] is None) == op["maps"] for op in operators)
    assert operators[content["first_stop"]]["name"] == "ARG_MAX"
    assert {r["runtime"].split()[0] for r in content["runtimes"]} == {
        "tflite-runtime",
        "LiteRT",
        "libedgetpu",
    }
    assert content["parameter_memory"]["fits"] is True


def test_json_of_a_hostile_scale_is_still_json(shared_data: Path, tmp_path: Path) -> None:
    """JSON has no word for infinity: `json.loads` of other languages would refuse it."""
    import struct

    content = bytearray((shared_data / "edgetpu_pairs" / "keras_lstm_mnist_ptq.tflite").read_bytes())
    scale = struct.pack("<f", 1 / 255)
    assert scale in content
    path = tmp_path / "endless.tflite"
    path.write_bytes(bytes(content).replace(scale, struct.pack("<f", float("inf"))))
    done = convert("inspect", "--json", path)
    found = json.loads(done.stdout, parse_constant=lambda word: pytest.fail(f"{word} is no JSON"))
    assert found["scale_warnings"][0]["code"] == "scale-range"


def test_all_mapped_exits_0_and_says_so(shared_data: Path) -> None:
    done = convert("inspect", shared_data / "models" / "mobilenet_v2_1.0_224_quant.tflite")
    assert done.returncode == 0, done.stderr
    assert "66 of 66 operators map to the Edge TPU" in done.stdout
    for word in ("tflite-runtime 2.14", "LiteRT 2.3", "libedgetpu", "MiB of parameters"):
        assert word in done.stdout


def test_compiled_file_is_called_so(shared_data: Path) -> None:
    done = convert("inspect", shared_data / "edgetpu_pairs" / "keras_lstm_mnist_ptq_edgetpu.tflite")
    assert done.returncode == 0
    assert "compiled for the Edge TPU, 0 operators on the CPU beside it" in done.stdout
    assert "MiB of parameters" not in done.stdout


def test_text_names_the_stop_its_reason_and_the_cut_boxes(shared_data: Path) -> None:
    done = convert("inspect", shared_data / "models" / "yolox_nano_published_int8_broken.tflite")
    assert done.returncode == 1
    text = " ".join(done.stdout.split())
    assert "15 of 625 operators map" in text
    assert "ends at operator 623 TRANSPOSE: 301665 elements" in text
    assert "cut here to 0..0.9961" in text
    assert "float operators 0 to 617" in text


def test_all_lists_every_operator(shared_data: Path) -> None:
    done = convert("inspect", "--all", shared_data / "edgetpu_pairs" / "keras_lstm_mnist_ptq.tflite")
    rows = [line for line in done.stdout.splitlines() if line[:1].isdigit()]
    assert len(rows) >= 6
    assert "UNIDIRECTIONAL_SEQUENCE_LSTM v1" in done.stdout


@pytest.mark.parametrize(
    "content", [b"", b"not a model at all", b"\x10\0\0\0TFL3\xff\xff\xff\xff" + b"\1" * 99]
)
def test_bad_file_exits_65_with_one_line(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "bad.tflite"
    path.write_bytes(content)
    for command in (["inspect", path], ["inspect", path, "--json"], ["compile", path]):
        done = convert(*command)
        assert done.returncode == 65
        assert done.stdout == ""
        assert done.stderr.count("\n") == 1
        assert str(path) in done.stderr
        assert "Traceback" not in done.stderr


def test_missing_compiler_exits_70_and_prints_the_container_command(
    shared_data: Path, tmp_path: Path
) -> None:
    model = shared_data / "edgetpu_pairs" / "keras_lstm_mnist_ptq.tflite"
    done = convert("compile", model, "-o", tmp_path, PATH=str(tmp_path))
    assert done.returncode == 70
    assert "\ndocker run --rm" in done.stderr
    assert list(tmp_path.iterdir()) == []


def test_hostile_names_do_no_harm_in_a_terminal(shared_data: Path, tmp_path: Path) -> None:
    """A name may hold Rich markup or escape sequences; they are shown, not obeyed."""
    content = (shared_data / "edgetpu_pairs" / "keras_lstm_mnist_ptq.tflite").read_bytes()
    name = b"serving_default_x:0"
    assert name in content
    path = tmp_path / "[red]model.tflite"
    hostile = b"[/bold]\x1b]0;x\x07\x1b[31"
    path.write_bytes(content.replace(name, hostile.ljust(len(name))))
    done = convert("inspect", "--all", path)
    assert done.returncode == 0, done.stderr
    assert "\x1b" not in done.stdout
    assert "[red]model.tflite" in done.stdout
    assert "[/bold]" in done.stdout


def test_help_documents_the_exit_codes() -> None:
    for command in ("inspect", "compile"):
        done = convert(command, "--help")
        assert done.returncode == 0
        assert "Exit codes" in done.stdout
        assert "65" in done.stdout
