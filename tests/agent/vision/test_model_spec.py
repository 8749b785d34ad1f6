"""Reading and writing ModelSpecs."""

from __future__ import annotations

from pathlib import Path

import pytest

from agent.errors import ModelError
from agent.vision.model_spec import (
    InputSpec,
    ModelSpec,
    OutputSpec,
    StateSpec,
    load_spec,
    save_spec,
    spec_path,
)


def test_a_spec_survives_the_file(tmp_path):
    spec = ModelSpec(
        name="m",
        task="detection",
        decoder="anchor-free",
        input=InputSpec(width=320, height=240, colour="bgr", mean=(1.0, 2.0, 3.0), interpolation="area"),
        outputs=(OutputSpec(role="boxes", name="b", stride=8), OutputSpec(role="scores", index=1, stride=8)),
        strides=(8,),
        box_scale=(320.0, 240.0),
        labels=("person",),
        states=(StateSpec(output="h1", input="h0"),),
    )
    path = tmp_path / "m.json"
    save_spec(spec, path)
    assert load_spec(path) == spec


def test_the_edge_tpu_file_shares_the_spec():
    assert spec_path(Path("a/m_edgetpu.tflite")) == spec_path(Path("a/m.tflite")) == Path("a/m.json")


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", "expected JSON"),
        ("[1]", "valid dictionary"),
        ('{"name": "m", "task": "detection"}', "`decoder` and `input`"),
        ('{"name": "m", "task": "sequence", "colour": 1}', "colour"),
        ('{"name": "m", "task": "sequence", "schema_version": 2}', "schema_version"),
        ('{"name": "m", "task": "embedding", "input": {"width": 0, "height": 9}}', "input.width"),
        ('{"name": "m", "task": "embedding", "input": {"width": 9, "height": 9, "mean": [1, 2]}}', "1 or 3"),
        (
            '{"name": "m", "task": "embedding", "input": {"width": 9, "height": 9, "std": [0]}}',
            "other than 0",
        ),
        ('{"name": "m", "task": "sequence", "outputs": [{"role": "x"}]}', "a name or an index"),
        (
            '{"name": "", "task": "sequence", "outputs": [{"role": "", "index": 0, "activation":"sigmoid"}]}',
            "expected activation none, got sigmoid",
        ),
    ],
)
def test_what_is_no_spec_is_refused_in_one_line(tmp_path, text, said):
    path = tmp_path / "m.json"
    path.write_text(text)
    with pytest.raises(ModelError) as caught:
        load_spec(path)
    assert said in str(caught.value)
    assert str(caught.value).startswith(str(path))
    assert "\n" not in str(caught.value)


def test_a_missing_spec_is_named(tmp_path):
    problem = r"none\.json: expected a ModelSpec, got No such file.*; put the \.json"
    with pytest.raises(ModelError, match=problem):
        load_spec(tmp_path / "none.json")
