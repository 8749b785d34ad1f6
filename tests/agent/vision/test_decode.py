"""Decoders against plain loops over every cell, and joined outputs against the same ones split."""

from __future__ import annotations

import math

import numpy as np
import pytest

from agent.errors import ModelError
from agent.records import Detections
from agent.vision.decode.decoder import Decoder
from agent.vision.decode.lists import bind_post_process
from agent.vision.model_spec import InputSpec, ModelSpec, OutputSpec
from agent.vision.quantize import TensorInfo, dequantize, quantize

FLOAT = np.dtype(np.float32)
CLASSES = 4
SIZE = (96, 64)  # width, height
STRIDES = (8, 16, 32)


def spec_of(decoder: str, **more: object) -> ModelSpec:
    content = {"name": "m", "task": "detection", "decoder": decoder, "min_iou_nms": 1.0, "min_score": 0.3}
    return ModelSpec.model_validate({**content, "input": InputSpec(width=SIZE[0], height=SIZE[1]), **more})


def cells(strides: tuple[int, ...] = STRIDES) -> list[tuple[int, int, int]]:
    return [
        (x, y, stride)
        for stride in strides
        for y in range(math.ceil(SIZE[1] / stride))
        for x in range(math.ceil(SIZE[0] / stride))
    ]


def random_rows(rows: int, seed: int = 0) -> dict[str, np.ndarray]:
    rng = np.random.default_rng(seed)
    return {
        "boxes": rng.normal(0, 1, (rows, 4)).astype(np.float32),
        "objectness": rng.random((rows, 1)).astype(np.float32),
        "scores": rng.random((rows, CLASSES)).astype(np.float32),
    }


def info(array: np.ndarray, name: str = "out", scale: float = 0.0, zero_point: int = 0) -> TensorInfo:
    return TensorInfo(name, array.shape, array.dtype, scale, zero_point)


def expected(rows, box_of, score_of, min_score: float = 0.3) -> list[tuple]:
    found = []
    for n, cell in enumerate(rows_cells(rows)):
        label = int(np.argmax(rows["scores"][n]))
        score = score_of(rows["objectness"][n, 0], rows["scores"][n, label])
        if score >= min_score:
            found.append((score, label, *box_of(rows["boxes"][n].astype(np.float64), cell)))
    return sorted(found, reverse=True)


def rows_cells(rows):
    count = len(rows["boxes"])
    return (
        cells() if count == len(cells()) else cells((16,)) if count == len(cells((16,))) else [None] * count
    )


def check(detections: Detections, wanted: list[tuple]) -> None:
    assert len(detections) == len(wanted) > 0
    got = [
        (score, label, *box)
        for score, label, box in zip(
            detections.scores.tolist(), detections.labels.tolist(), detections.boxes.tolist(), strict=True
        )
    ]
    np.testing.assert_allclose(got, wanted, rtol=2e-4, atol=2e-3)


def centred(cx, cy, w, h):
    return cx - w / 2, cy - h / 2, cx + w / 2, cy + h / 2


def yolox_box(raw, cell):
    x, y, stride = cell
    return centred((x + raw[0]) * stride, (y + raw[1]) * stride, *(np.exp(raw[2:]) * stride))


def fastestdet_box(raw, cell):
    x, y, stride = cell
    w, h = 1 / (1 + np.exp(-raw[2:])) * SIZE
    return centred((x + np.tanh(raw[0])) * stride, (y + np.tanh(raw[1])) * stride, w, h)


def anchor_free_box(raw, cell):
    x, y, stride = cell
    cx, cy = (x + 0.5) * stride, (y + 0.5) * stride
    left, top, right, bottom = raw * stride
    return cx - left, cy - top, cx + right, cy + bottom


def product(objectness, score):
    return objectness * score


FAMILIES = {
    "yolov5": (lambda raw, _: centred(*raw), product, ("boxes", "objectness", "scores"), 3 * len(cells())),
    "yolov8": (lambda raw, _: centred(*raw), lambda _, s: s, ("boxes", "scores"), len(cells())),
    "yolox": (yolox_box, product, ("boxes", "objectness", "scores"), len(cells())),
    "fastestdet": (
        fastestdet_box,
        lambda o, s: o**0.6 * s**0.4,
        ("objectness", "boxes", "scores"),
        len(cells((16,))),
    ),
    "yunet": (yolox_box, lambda o, s: (o * s) ** 0.5, ("boxes", "objectness", "scores"), len(cells())),
    "anchor-free": (anchor_free_box, lambda _, s: s, ("boxes", "scores"), len(cells())),
}


def family(name):
    box_of, score_of, columns, count = FAMILIES[name]
    more = {"strides": STRIDES} if name == "anchor-free" else {}
    return box_of, score_of, columns, random_rows(count), more


@pytest.mark.parametrize("name", FAMILIES)
@pytest.mark.parametrize("transposed", [False, True])
def test_joined_predictions_decode_as_a_loop_over_cells_does(name, transposed):
    box_of, score_of, columns, rows, more = family(name)
    joined = np.concatenate([rows[column] for column in columns], axis=1)[None]
    if transposed:
        joined = np.ascontiguousarray(joined.transpose(0, 2, 1))
    decoder = Decoder(spec_of(name, **more), [info(joined)])
    assert decoder.labels == tuple(f"class-{n}" for n in range(CLASSES))
    check(decoder([joined]), expected(rows, box_of, score_of))


@pytest.mark.parametrize("name", FAMILIES)
def test_split_outputs_give_what_the_joined_one_gives(name):
    box_of, score_of, columns, rows, more = family(name)
    # In an order of their own, one transposed, objectness without an axis for its one channel.
    arrays = {
        "scores": np.ascontiguousarray(rows["scores"].T)[None],
        "objectness": rows["objectness"][None, :, 0],
        "boxes": rows["boxes"][None],
    }
    arrays = {role: array for role, array in arrays.items() if role in columns}
    outputs = tuple(OutputSpec(role=role, name=f"t/{role}") for role in columns)
    decoder = Decoder(
        spec_of(name, outputs=outputs, **more), [info(array, f"t/{role}") for role, array in arrays.items()]
    )
    check(decoder(list(arrays.values())), expected(rows, box_of, score_of))


@pytest.mark.parametrize("name", ["yolox", "yunet", "anchor-free"])
@pytest.mark.parametrize("layout", ["rows", "nhwc", "nchw"])
@pytest.mark.parametrize("named", [True, False])
def test_outputs_of_one_stride_each_give_what_the_joined_one_gives(name, layout, named):
    box_of, score_of, columns, rows, more = family(name)
    arrays, outputs, start = [], [], 0
    for stride in STRIDES:
        high, wide = math.ceil(SIZE[1] / stride), math.ceil(SIZE[0] / stride)
        for role in columns:
            part = rows[role][start : start + high * wide]
            if layout == "rows":
                array = part[None]
            elif layout == "nhwc":
                array = part.reshape(1, high, wide, -1)
            else:
                array = np.ascontiguousarray(part.T).reshape(1, -1, high, wide)
            outputs.append(OutputSpec(role=role, index=len(arrays), stride=stride if named else None))
            arrays.append(array)
        start += high * wide
    decoder = Decoder(
        spec_of(name, outputs=tuple(outputs), labels=tuple("abcd"), **more), [info(array) for array in arrays]
    )
    found = decoder(arrays)
    check(found, expected(rows, box_of, score_of))


@pytest.mark.parametrize("name", FAMILIES)
@pytest.mark.parametrize("dtype", [np.int8, np.uint8])
def test_codes_decode_as_the_numbers_they_stand_for_do(name, dtype):
    _, _, columns, rows, more = family(name)
    low = np.iinfo(dtype).min
    scales = {"boxes": (0.03, low + 128), "objectness": (1 / 256, low), "scores": (1 / 256, low)}
    spec = spec_of(name, outputs=tuple(OutputSpec(role=role, name=role) for role in columns), **more)
    infos = [info(np.zeros((1, *rows[role].shape), dtype), role, *scales[role]) for role in columns]
    codes = [quantize(rows[role][None], tensor) for role, tensor in zip(columns, infos, strict=True)]
    numbers = [dequantize(array, tensor) for array, tensor in zip(codes, infos, strict=True)]
    found = Decoder(spec, infos)(codes)
    wanted = Decoder(spec, [info(array, tensor.name) for array, tensor in zip(numbers, infos, strict=True)])(
        numbers
    )
    assert len(found) == len(wanted) > 0
    np.testing.assert_array_equal(found.boxes, wanted.boxes)
    np.testing.assert_array_equal(found.scores, wanted.scores)
    np.testing.assert_array_equal(found.labels, wanted.labels)


def test_logits_are_thresholded_as_their_probabilities():
    rows = random_rows(len(cells()))
    logits = np.log(rows["scores"] / (1 - rows["scores"]))
    outputs = (OutputSpec(role="boxes", index=0), OutputSpec(role="scores", index=1))
    arrays = [rows["boxes"][None], logits[None]]
    spec = spec_of("anchor-free", outputs=outputs, strides=STRIDES, scores_are_logits=True)
    decoder = Decoder(spec, [info(array) for array in arrays])
    check(decoder(arrays), expected(rows, anchor_free_box, lambda _, s: s))


@pytest.mark.parametrize("scale", [96.0, (96.0, 64.0)])
def test_box_scale_brings_boxes_to_px_of_the_input(scale):
    rows = random_rows(len(cells()))
    joined = np.concatenate([rows["boxes"], rows["scores"]], axis=1).T[None].copy()
    w, h = scale if isinstance(scale, tuple) else (scale, scale)
    decoder = Decoder(spec_of("yolov8", box_scale=scale), [info(joined)])
    check(
        decoder([joined]),
        expected(rows, lambda raw, _: centred(*(raw * [w, h, w, h])), lambda _, s: s),
    )


def test_scores_and_wanted_classes_count_by_label():
    rows = random_rows(len(cells()))
    joined = np.concatenate([rows["boxes"], rows["scores"]], axis=1)[None]
    spec = spec_of("yolov8", labels=("cat", "dog", "cat", "cow"))
    every = Decoder(spec, [info(joined)])([joined])
    decoder = Decoder(
        spec, [info(joined)], min_score=0.5, min_score_by_label={"cat": 0.9}, wanted=("cat", "cow")
    )
    chosen = decoder([joined])
    bounds = np.array([0.9, np.inf, 0.9, 0.5])
    kept = every[every.scores >= bounds[every.labels]]
    np.testing.assert_array_equal(chosen.scores, kept.scores)
    assert set(chosen.labels.tolist()) == {0, 2, 3}


def test_one_wanted_class_of_many_is_found_where_it_is_the_best():
    rng = np.random.default_rng(5)
    joined = rng.random((1, len(cells()), 4 + 20)).astype(np.float32)
    spec = spec_of("yolov8", labels=tuple(f"c{n}" for n in range(20)))
    every = Decoder(spec, [info(joined)])([joined])
    only = Decoder(spec, [info(joined)], wanted=("c7",))([joined])
    np.testing.assert_array_equal(only.scores, every.scores[every.labels == 7])
    assert len(only) > 0


def test_overlapping_boxes_of_one_class_are_one_object():
    joined = np.zeros((1, len(cells()), 4 + 2), np.float32)
    joined[0, :3] = [[30, 30, 20, 20, 0.9, 0], [31, 30, 20, 20, 0.8, 0], [31, 30, 20, 20, 0, 0.7]]
    found = Decoder(spec_of("yolov8", min_iou_nms=0.5), [info(joined)])([joined])
    assert found.scores.tolist() == pytest.approx([0.9, 0.7])
    assert found.labels.tolist() == [0, 1]


def test_rows_that_are_no_numbers_are_dropped():
    joined = np.full((1, len(cells()), 4 + 2), np.nan, np.float32)
    joined[0, 0] = [30, 30, 20, 20, 0.9, 0]
    joined[0, 1] = [np.inf, 30, 20, 20, 0.9, 0]
    assert len(Decoder(spec_of("yolov8"), [info(joined)])([joined])) == 1


def test_nothing_found_is_no_error():
    joined = np.zeros((1, len(cells()), 4 + 2), np.float32)
    assert len(Decoder(spec_of("yolov8"), [info(joined)])([joined])) == 0


def test_a_square_table_holds_its_channels_in_the_last_axis():
    count = len(cells((16,)))
    rows = random_rows(count)
    rows["scores"] = np.random.default_rng(1).random((count, count - 5)).astype(np.float32)
    joined = np.concatenate([rows["objectness"], rows["boxes"], rows["scores"]], axis=1)[None]
    assert joined.shape == (1, count, count)
    found = Decoder(spec_of("fastestdet"), [info(joined)])([joined])
    check(found, expected(rows, fastestdet_box, lambda o, s: o**0.6 * s**0.4))


POST_PROCESS = "TFLite_Detection_PostProcess"


def ssd_infos(names, shapes, producers=None):
    producers = producers or [("", 0)] * 4
    return [
        TensorInfo(name, shape, FLOAT, producer=producer)
        for name, shape, producer in zip(names, shapes, producers, strict=True)
    ]


BOXES, ROW, ONE = (1, 10, 4), (1, 10), (1,)


@pytest.mark.parametrize(
    ("names", "shapes", "bound"),
    [
        pytest.param(
            [POST_PROCESS, f"{POST_PROCESS}:1", f"{POST_PROCESS}:2", f"{POST_PROCESS}:3"],
            [BOXES, ROW, ROW, ONE],
            {"boxes": 0, "classes": 1, "scores": 2, "count": 3},
            id="tensorflow-1",
        ),
        pytest.param(
            [f"StatefulPartitionedCall:{n}" for n in (1, 3, 0, 2)],
            [ROW, BOXES, ONE, ROW],
            {"boxes": 1, "classes": 3, "scores": 0, "count": 2},
            id="tensorflow-2-detection-api",
        ),
        pytest.param(
            [f"StatefulPartitionedCall:{n}" for n in (31, 32, 33, 34)],
            [BOXES, ROW, ROW, ONE],
            {"boxes": 0, "classes": 1, "scores": 2, "count": 3},
            id="efficientdet-lite",
        ),
        pytest.param(
            [f"StatefulPartitionedCall:{n}" for n in (3, 2, 1, 0)],
            [BOXES, ROW, ROW, ONE],
            {"boxes": 0, "classes": 1, "scores": 2, "count": 3},
            id="model-maker",
        ),
    ],
)
def test_post_process_outputs_are_bound_by_name_and_shape(names, shapes, bound):
    assert bind_post_process(ssd_infos(names, shapes)) == bound


def test_the_operator_that_writes_them_decides_over_names():
    infos = ssd_infos(["a", "b", "c", "d"], [ROW, ROW, ONE, BOXES], [(POST_PROCESS, n) for n in (2, 1, 3, 0)])
    assert bind_post_process(infos) == {"scores": 0, "classes": 1, "count": 2, "boxes": 3}


@pytest.mark.parametrize(
    ("names", "shapes"),
    [
        (["a", "b", "c", "d"], [BOXES, ROW, ROW, ONE]),
        (["s:0", "s:1", "s:2", "t:3"], [BOXES, ROW, ROW, ONE]),
        (["s:0", "s:1", "s:2", "s:3"], [BOXES, ROW, ONE, ROW]),
        (["s:0", "s:1", "s:2", "s:2"], [BOXES, ROW, ROW, ROW]),
        (["s:0", "s:1", "s:2"], [BOXES, ROW, ROW]),
    ],
)
def test_post_process_outputs_that_leave_a_doubt_are_refused(names, shapes):
    with pytest.raises(ModelError, match="name each output and its role") as caught:
        bind_post_process([TensorInfo(name, shape, FLOAT) for name, shape in zip(names, shapes, strict=True)])
    assert names[0] in str(caught.value)


def ssd_decoder(**more):
    infos = ssd_infos([f"{POST_PROCESS}{end}" for end in ("", ":1", ":2", ":3")], [BOXES, ROW, ROW, ONE])
    return Decoder(spec_of("ssd-postprocess", **more), infos)


def ssd_arrays(classes):
    boxes = np.zeros((1, 10, 4), np.float32)
    boxes[0, :3] = [[0.25, 0.5, 0.75, 1.0], [0, 0, 0.5, 0.5], [0, 0, 1, 1]]
    scores = np.float32([[0.9, 0.6, 0.1, *[0.8] * 7]])
    labels = np.float32([[*classes, *[0] * 7]])
    return [boxes, labels, scores, np.float32([3])]


def test_post_process_boxes_are_read_as_far_as_the_count_says():
    found = ssd_decoder(labels=("a", "b", "c"))(ssd_arrays([2, 0, 1]))
    assert found.boxes.tolist() == [[48.0, 16.0, 96.0, 48.0], [0.0, 0.0, 48.0, 32.0]]
    assert found.labels.tolist() == [2, 0]
    assert found.scores.tolist() == pytest.approx([0.9, 0.6])


def test_a_class_without_a_name_is_refused_when_it_is_found():
    with pytest.raises(ModelError, match="expected a name for class 7, got 3 names"):
        ssd_decoder(labels=("a", "b", "c"))(ssd_arrays([7, 0, 1]))


def test_end_to_end_rows_are_taken_as_they_are():
    rows = np.zeros((1, 5, 6), np.float32)
    rows[0, :3] = [[0.1, 0.2, 0.3, 0.4, 0.9, 1], [0, 0, 1, 1, 0.8, 0], [0, 0, 1, 1, 0.1, 0]]
    spec = spec_of("end-to-end", box_scale=(96.0, 64.0), labels=("a", "b"))
    found = Decoder(spec, [info(rows)])([rows])
    np.testing.assert_allclose(found.boxes, [[9.6, 12.8, 28.8, 25.6], [0, 0, 96, 64]], rtol=1e-5)
    assert found.labels.tolist() == [1, 0]


@pytest.mark.parametrize(
    ("spec", "outputs", "said"),
    [
        (spec_of("yolox"), [TensorInfo("o", (1, 100, 9), FLOAT)], "(1, 100, 9)"),
        (spec_of("yolox"), [TensorInfo("o", (1, 126, 5), FLOAT)], "1 class or more"),
        (spec_of("anchor-free"), [TensorInfo("o", (1, 126, 5), FLOAT)], "strides"),
        (spec_of("yolov8"), [TensorInfo("a", (1, 126, 5), FLOAT)] * 2, "`outputs`"),
        (
            spec_of(
                "yolov8", outputs=(OutputSpec(role="boxes", name="x"), OutputSpec(role="scores", name="y"))
            ),
            [TensorInfo("x", (1, 126, 4), FLOAT)],
            "named 'y'",
        ),
        (
            spec_of("yolov8", outputs=(OutputSpec(role="boxes", index=0),)),
            [TensorInfo("x", (1, 126, 4), FLOAT)],
            "none for scores",
        ),
        (
            spec_of("yolox", outputs=(OutputSpec(role="predictions", index=0, stride=8),)),
            [TensorInfo("x", (1, 96, 9), FLOAT)],
            "got them for [8]",
        ),
        (
            spec_of("yolox", outputs=(OutputSpec(role="predictions", index=0, stride=7),)),
            [TensorInfo("x", (1, 96, 9), FLOAT)],
            "stride of [8, 16, 32]",
        ),
        (spec_of("yolox", labels=("a", "b")), [TensorInfo("o", (1, 126, 9), FLOAT)], "expected 4 labels"),
        (spec_of("yolox"), [TensorInfo("o", (1, 126, 9), np.dtype(np.int32))], "float or quantised"),
        (ModelSpec(name="m", task="classification"), [], "expected a detection model"),
    ],
)
def test_outputs_that_fit_no_decoder_are_refused_in_one_line(spec, outputs, said):
    with pytest.raises(ModelError) as caught:
        Decoder(spec, outputs)
    assert said in str(caught.value)
    assert "\n" not in str(caught.value)


def test_an_unknown_label_is_refused():
    joined = np.zeros((1, len(cells()), 6), np.float32)
    for more in ({"wanted": ("cow",)}, {"min_score_by_label": {"cow": 0.5}}):
        with pytest.raises(ModelError, match=r"labels \(cat, dog\), got 'cow'"):
            Decoder(spec_of("yolov8", labels=("cat", "dog")), [info(joined)], **more)


@pytest.mark.parametrize("name", ["fastestdet", "anchor-free"])
@pytest.mark.parametrize("dtype", [np.float32, np.int8])
def test_softmax_over_the_classes_may_be_left_to_the_decoder(name, dtype):
    _, _, columns, rows, more = family(name)
    rng = np.random.default_rng(3)
    rows["scores"] = rng.normal(0, 3, rows["scores"].shape).astype(np.float32)
    scores = info(rows["scores"][None].astype(dtype), "scores", 0.0 if dtype == np.float32 else 0.1)
    codes = {role: rows[role][None] for role in columns}
    codes["scores"] = quantize(codes["scores"], scores)
    real = dequantize(codes["scores"], scores)
    shares = np.exp(real) / np.exp(real).sum(axis=-1, keepdims=True)
    infos = [scores if role == "scores" else info(codes[role], role) for role in columns]
    plain = tuple(OutputSpec(role=role, name=role) for role in columns)
    cut = tuple(
        own.model_copy(update={"activation": "softmax"}) if own.role == "scores" else own for own in plain
    )
    found = Decoder(spec_of(name, outputs=cut, **more), infos)([codes[role] for role in columns])
    done = {**codes, "scores": shares}
    wanted = Decoder(spec_of(name, outputs=plain, **more), [info(done[role], role) for role in columns])(
        [done[role] for role in columns]
    )
    assert len(found) == len(wanted) > 0
    np.testing.assert_allclose(found.scores, wanted.scores, rtol=1e-5)
    order = np.lexsort((found.labels, found.boxes[:, 0]))
    other = np.lexsort((wanted.labels, wanted.boxes[:, 0]))
    np.testing.assert_array_equal(found.labels[order], wanted.labels[other])
    np.testing.assert_allclose(found.boxes[order], wanted.boxes[other])
