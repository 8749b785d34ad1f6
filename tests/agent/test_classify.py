"""`edgetrack-agent classify` with a real int8 model that tells red, green and blue pictures apart."""

from __future__ import annotations

import importlib.util
import json
import subprocess
import sys
from pathlib import Path

import cv2
import numpy as np
import pytest
from typer.testing import CliRunner

from agent.cli import app
from agent.detect.classifier import Classifier
from agent.errors import ConfigError, ModelError, SourceError
from agent.vision.model_spec import InputSpec, ModelSpec, OutputSpec, load_spec, save_spec

_MAKE_MODEL = """
import sys
import numpy as np
import tensorflow as tf

@tf.function(input_signature=[tf.TensorSpec((1, 16, 16, 3), tf.float32)])
def mean_colour(picture):
    return 8.0 * tf.reduce_mean(picture, axis=(1, 2))

converter = tf.lite.TFLiteConverter.from_concrete_functions([mean_colour.get_concrete_function()])
rng = np.random.default_rng(0)
converter.optimizations = [tf.lite.Optimize.DEFAULT]
converter.representative_dataset = lambda: (
    [np.broadcast_to(rng.random(3).round(), (1, 16, 16, 3)).astype(np.float32)] for _ in range(50)
)
converter.target_spec.supported_ops = [tf.lite.OpsSet.TFLITE_BUILTINS_INT8]
converter.inference_input_type = converter.inference_output_type = tf.int8
open(sys.argv[1], "wb").write(converter.convert())
"""
_BGR = {"red": (0, 0, 255), "green": (0, 255, 0), "blue": (255, 0, 0)}


@pytest.fixture(scope="module")
def colours(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The model, its spec beside it."""
    if importlib.util.find_spec("tensorflow") is None:
        pytest.skip("needs TensorFlow to write its model (pip install edgetrack[models])")
    model = tmp_path_factory.mktemp("classifier") / "colours.tflite"
    done = subprocess.run(
        [sys.executable, "-c", _MAKE_MODEL, str(model)], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    spec = ModelSpec(
        name="colours",
        task="classification",
        input=InputSpec(width=16, height=16, resize="stretch"),
        outputs=(OutputSpec(role="scores", index=0, activation="softmax"),),
        labels=("red", "green", "blue"),
    )
    save_spec(spec, model.with_suffix(".json"))
    return model


@pytest.fixture
def pictures(tmp_path: Path) -> Path:
    """1-blue.png, 2-red.png and 10-green.png, of different sizes."""
    folder = tmp_path / "pictures"
    folder.mkdir()
    for name, size in (("1-blue", (40, 30)), ("2-red", (16, 16)), ("10-green", (9, 50))):
        image = np.full((*size, 3), _BGR[name.split("-")[1]], np.uint8)
        cv2.imwrite(str(folder / f"{name}.png"), image)
    return folder


def test_pictures_of_a_folder_are_named_in_order(colours: Path, pictures: Path) -> None:
    words = ["classify", "-m", str(colours), "-s", str(pictures), "--top", "1"]
    result = CliRunner().invoke(app, words)
    assert result.exit_code == 0, result.output
    assert [line.rsplit(" ", 1)[0] for line in result.stdout.splitlines()] == [
        "1-blue.png: blue",
        "2-red.png: red",
        "10-green.png: green",
    ]


def test_json_lines_hold_the_best_classes_with_their_scores(colours: Path, pictures: Path) -> None:
    words = ["classify", "-m", str(colours), "-s", str(pictures / "2-red.png"), "--top", "9", "--json"]
    result = CliRunner().invoke(app, words)
    (line,) = map(json.loads, result.stdout.splitlines())
    assert (line["frame"], line["picture"]) == (1, "2-red.png")
    labels = [found["label"] for found in line["classes"]]
    scores = [found["score"] for found in line["classes"]]
    assert labels[0] == "red"
    assert set(labels) == set(_BGR)
    assert scores == sorted(scores, reverse=True)
    assert scores[0] > 0.9
    assert sum(scores) == pytest.approx(1.0, abs=1e-3)


def test_frames_of_a_video_are_named_with_their_times(colours: Path, tmp_path: Path) -> None:
    path = tmp_path / "clip.avi"
    video = cv2.VideoWriter(str(path), cv2.VideoWriter.fourcc(*"MJPG"), 10.0, (64, 48))
    for colour in ("green", "green", "blue"):
        video.write(np.full((48, 64, 3), _BGR[colour], np.uint8))
    video.release()
    result = CliRunner().invoke(app, ["classify", "-m", str(colours), "-s", str(path), "--json"])
    found = [json.loads(line) for line in result.stdout.splitlines()]
    assert [line["classes"][0]["label"] for line in found] == ["green", "green", "blue"]
    assert [line["time_s"] for line in found] == pytest.approx([0.0, 0.1, 0.2])


def test_outputs_are_scores_as_the_spec_says(colours: Path, tmp_path: Path) -> None:
    red = np.full((16, 16, 3), _BGR["red"], np.uint8)
    model = tmp_path / "colours.tflite"
    model.write_bytes(colours.read_bytes())
    spec = load_spec(colours.with_suffix(".json"))
    logits = {}
    for activation in (None, "softmax", "sigmoid"):
        output = spec.outputs[0].model_copy(update={"activation": activation})
        save_spec(spec.model_copy(update={"outputs": (output,)}), model.with_suffix(".json"))
        logits[activation] = Classifier(model)(red)
    raw = logits[None].astype(np.float64)
    np.testing.assert_allclose(logits["softmax"], np.exp(raw) / np.exp(raw).sum(), rtol=1e-5)
    np.testing.assert_allclose(logits["sigmoid"], 1 / (1 + np.exp(-raw)), rtol=1e-5)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"task": "sequence"}, "colours.json: expected a classification model with `input`, got one for seq"),
        ({"labels": ("red", "green")}, r"colours.tflite: expected one output \(1, 2\), one number for each"),
        (
            {"input": InputSpec(width=20, height=16)},
            r"the spec says \(1, 16, 20, 3\) .*, the file holds \(1, 16, 16, 3\)",
        ),
    ],
)
def test_a_spec_that_does_not_fit_is_refused(
    colours: Path, tmp_path: Path, change: dict[str, object], message: str
) -> None:
    model = tmp_path / "colours.tflite"
    model.write_bytes(colours.read_bytes())
    spec = load_spec(colours.with_suffix(".json"))
    save_spec(spec.model_copy(update=change), model.with_suffix(".json"))
    with pytest.raises(ModelError, match=message):
        Classifier(model)


def test_a_model_that_is_missing_or_has_no_spec_is_one_line(colours: Path, tmp_path: Path) -> None:
    absent = CliRunner().invoke(app, ["classify", "-m", str(tmp_path / "a.tflite"), "-s", str(tmp_path)])
    assert isinstance(absent.exception, ModelError)
    assert "a.json: expected a ModelSpec, got No such file" in str(absent.exception)
    assert "\n" not in str(absent.exception)


def test_picture_that_cannot_be_read_is_passed_over_and_the_others_keep_their_names(
    colours: Path, pictures: Path, caplog: pytest.LogCaptureFixture
) -> None:
    words = ["classify", "-m", str(colours), "-s", str(pictures)]
    whole = CliRunner().invoke(app, words).stdout
    (pictures / "1-aaa.png").write_bytes(b"no picture")
    broken = CliRunner().invoke(app, words)
    assert broken.exit_code == 0
    assert broken.stdout == whole
    assert "1-aaa.png: expected a picture, got a file that is none" in caplog.text


def test_sources_that_cannot_be_read_are_one_line(colours: Path, tmp_path: Path) -> None:
    words = ["classify", "-m", str(colours), "-s"]
    (tmp_path / "broken.png").write_bytes(b"no picture")
    broken = CliRunner().invoke(app, [*words, str(tmp_path / "broken.png")])
    assert isinstance(broken.exception, SourceError)
    assert "broken.png: expected a picture, got a file that is none" in str(broken.exception)
    empty = CliRunner().invoke(app, [*words, str(tmp_path / "none.mp4")])
    assert isinstance(empty.exception, SourceError)
    nothing = CliRunner().invoke(app, [*words, ""])
    assert isinstance(nothing.exception, ConfigError)
