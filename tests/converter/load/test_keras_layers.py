"""Keras models that are common and not plain: trained in mixed precision, or with masks."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from agent.errors import ModelError
from converter.load.float_model import Loaded, LoadOptions
from converter.observe import feed, run_float
from converter.worker import Worker

pytestmark = pytest.mark.slow


@pytest.mark.parametrize(("version", "name"), [(3, "m.keras"), (2, "m.h5"), (2, "m.keras")])
def test_mixed_precision_is_computed_in_float32(
    worker: Worker, tmp_path: Path, version: int, name: str
) -> None:
    path = tmp_path / name
    worker.call("tests.converter.write_models:save_mixed", path, version, on=path)
    sample = {"x": np.random.default_rng(0).random((1, 12, 12, 3), np.float32)}
    loaded: Loaded = worker.call("converter.load.source:load_float", path, LoadOptions(), [sample], on=path)
    interpreter = run_float(loaded.model.content, "test")
    (given,) = interpreter.get_input_details()
    assert given["dtype"] == np.float32
    feed(interpreter, {given["name"]: sample["x"]})
    interpreter.invoke()
    (answer,) = interpreter.get_output_details()
    np.testing.assert_allclose(interpreter.get_tensor(answer["index"]), loaded.expected[0][0], atol=1e-5)


def test_mask_is_refused_by_the_layer_s_name(worker: Worker, tmp_path: Path) -> None:
    path = tmp_path / "m.keras"
    worker.call("tests.converter.write_models:save_masked", path, on=path)
    with pytest.raises(ModelError, match="layer padding: expected sequences without a mask"):
        worker.call("converter.load.source:load_float", path, LoadOptions(), [], on=path)
