"""Small real models with a known answer, written by TensorFlow: run with the folder to write to.

A cell of 8 x 8 px is an object when it is bright; its box is the cell.
"""

from __future__ import annotations

import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import tensorflow as tf

SIDE, CELL = 64, 8
GRID = SIDE // CELL
PICTURE = tf.TensorSpec((1, SIDE, SIDE, 3), tf.float32, name="picture")


def brightness(picture: tf.Tensor) -> tf.Tensor:
    """Mean of each cell: (1, 8, 8, 1)."""
    return tf.reduce_mean(tf.nn.avg_pool2d(picture, CELL, CELL, "VALID"), axis=3, keepdims=True)


def cell_boxes(scores: tf.Tensor) -> tf.Tensor:
    """Half a stride to each side: (1, 8, 8, 4)."""
    return tf.concat([scores] * 4, axis=3) * 0.0 + 0.5


def samples(*extra: tuple[int, ...]) -> Iterator[list[np.ndarray]]:
    rng = np.random.default_rng(0)
    for level in np.linspace(0, 1, 20):
        picture = np.full((1, SIDE, SIDE, 3), level, np.float32)
        yield [picture, *(rng.random(shape).astype(np.float32) for shape in extra)]


def write(path: Path, function: Any, dtype: tf.DType, *extra: tuple[int, ...]) -> None:
    module = tf.Module()
    module.model = function
    with tempfile.TemporaryDirectory() as folder:
        tf.saved_model.save(module, folder, signatures=function.get_concrete_function())
        convert(tf.lite.TFLiteConverter.from_saved_model(folder), path, dtype, *extra)


def convert(converter: Any, path: Path, dtype: tf.DType, *extra: tuple[int, ...]) -> None:
    converter.allow_custom_ops = True
    if dtype != tf.float32:
        converter.optimizations = [tf.lite.Optimize.DEFAULT]
        converter.representative_dataset = lambda: samples(*extra)
        converter.target_spec.supported_ops = [tf.lite.OpsSet.TFLITE_BUILTINS_INT8]
        converter.inference_input_type = converter.inference_output_type = dtype
    path.write_bytes(converter.convert())


def bright_cells(folder: Path) -> None:
    """int8: boxes and scores of one stride."""

    @tf.function(input_signature=[PICTURE])
    def model(picture):
        scores = brightness(picture)
        return {"scores": scores, "boxes": cell_boxes(scores)}

    write(folder / "bright.tflite", model, tf.int8)


def slow_eye(folder: Path) -> None:
    """float32, with a state: what it sees is the mean of this picture and of what it saw before."""

    @tf.function(input_signature=[PICTURE, tf.TensorSpec((1, GRID, GRID, 1), tf.float32, name="seen")])
    def model(picture, seen):
        scores = 0.5 * brightness(picture) + 0.5 * seen
        return {"scores": scores, "boxes": cell_boxes(scores), "seen_now": scores + 0.0}

    write(folder / "slow.tflite", model, tf.float32)


def ssd(folder: Path) -> None:
    """float32: cells as anchors of TFLite_Detection_PostProcess, whose class 1 is bright and class 0 dark."""
    numbers = {"max_detections": 10, "max_classes_per_detection": 1, "num_classes": 2}
    reals = {"nms_score_threshold": 0.1, "nms_iou_threshold": 0.5}
    reals |= {"y_scale": 10.0, "x_scale": 10.0, "h_scale": 5.0, "w_scale": 5.0}
    signature = ['name: "TFLite_Detection_PostProcess"']
    signature += [f'attr {{ key: "{key}" value {{ i: {value} }} }}' for key, value in numbers.items()]
    signature += [f'attr {{ key: "{key}" value {{ f: {value} }} }}' for key, value in reals.items()]
    signature += ['attr { key: "use_regular_nms" value { b: false } }']

    @tf.function(experimental_implements=" ".join(signature))
    def post_process(codes, scores, anchors):
        del anchors
        del codes, scores
        row = tf.zeros((1, 10))
        return tf.zeros((1, 10, 4)), row, row, tf.zeros((1,))

    places = (np.arange(GRID) + 0.5) / GRID
    y, x = (part.ravel() for part in np.meshgrid(places, places, indexing="ij"))
    sides = np.full_like(x, 1 / GRID)
    anchors = tf.constant(np.stack([y, x, sides, sides], axis=1), tf.float32)

    @tf.function(input_signature=[PICTURE])
    def model(picture):
        bright = tf.reshape((brightness(picture) + 1) / 2, (1, GRID * GRID, 1))  # from -1..1
        scores = tf.concat([bright * 0.0, bright * 0.0, bright], axis=2)  # background, dark, bright
        boxes, classes, best, count = post_process(tf.zeros((1, GRID * GRID, 4)), scores, anchors)
        return {"output_3": boxes, "output_2": classes, "output_1": best, "output_0": count}

    write(folder / "ssd.tflite", model, tf.float32)


if __name__ == "__main__":
    target = Path(sys.argv[1])
    bright_cells(target)
    slow_eye(target)
    ssd(target)
