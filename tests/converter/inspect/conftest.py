"""Real `.tflite` files to read."""

from __future__ import annotations

from pathlib import Path

import pytest

MODELS = (
    "models/mobilenet_v2_1.0_224_quant.tflite",
    "models/movenet_single_pose_lightning_ptq.tflite",
    "models/yolox_nano_published_int8_broken.tflite",
    "models/yolox_nano_float16_quantize.tflite",
    "edgetpu_pairs/keras_lstm_mnist_ptq.tflite",
    "edgetpu_pairs/mobilenet_v1_0.25_128_quant.tflite",
)


@pytest.fixture(params=MODELS, ids=lambda name: Path(name).stem)
def real_model(request: pytest.FixtureRequest, shared_data: Path) -> Path:
    """One after the other, all models that an ordinary interpreter loads."""
    return shared_data / str(request.param)


@pytest.fixture(scope="session")
def broken_yolox(shared_data: Path) -> Path:
    """The published int8 file whose boxes are cut to 0..1."""
    return shared_data / "models" / "yolox_nano_published_int8_broken.tflite"


@pytest.fixture(scope="session")
def small_model(shared_data: Path) -> bytes:
    """14 kB of real model, for damaging."""
    return (shared_data / "edgetpu_pairs" / "keras_lstm_mnist_ptq.tflite").read_bytes()
