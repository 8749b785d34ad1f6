"""Model detectors on models whose answer is known, and on YOLOX-nano against its published accuracy."""

from __future__ import annotations

import threading

import cv2
import numpy as np
import pytest

from agent.detect.detector import open_detector
from agent.detect.settings import DetectorSettings
from agent.detect.tflite_detector import TfliteDetector
from agent.errors import ModelError
from agent.records import Frame
from agent.vision.labels import read_labels
from agent.vision.model_spec import InputSpec, ModelSpec, OutputSpec, save_spec


def detector(folder, name="bright", **more):
    return TfliteDetector(DetectorSettings(model=folder / f"{name}.tflite", threads=1, **more))


def test_boxes_lie_where_the_objects_are_in_px_of_the_frame(small_models, lamps):
    found = detector(small_models).detect(lamps((2, 5), size=(640, 640)))
    assert found.boxes.tolist() == pytest.approx(np.array([[160, 400, 240, 480]]), abs=0.5)
    assert found.scores.tolist() == pytest.approx([1.0], abs=0.01)
    assert found.labels.tolist() == [0]


def test_a_wide_frame_is_letterboxed_and_its_boxes_brought_back(small_models):
    frame = Frame(np.zeros((240, 480, 3), np.uint8), 0.0, 0.0, 0)
    frame.image[60:120, 120:180] = 255  # one cell of the 64 x 32 px that the frame covers
    found = detector(small_models).detect(frame)
    assert found.boxes.tolist() == pytest.approx(np.array([[120, 60, 180, 120]]), abs=1.0)


def test_the_ssd_operator_is_bound_and_decoded_without_a_spec(small_models, tmp_path, lamps):
    labels = tmp_path / "labels.txt"
    labels.write_text("0  dark\n1  bright\n")
    opened = detector(small_models, "ssd", labels_file=labels, min_score=0.9)
    assert opened.labels == ("dark", "bright")
    found = opened.detect(lamps((2, 5), (7, 0), size=(320, 160)))
    order = np.argsort(found.boxes[:, 0])
    wanted = np.array([[80, 100, 120, 120], [280, 0, 320, 20]])
    np.testing.assert_allclose(found.boxes[order], wanted, atol=0.5)
    assert found.labels.tolist() == [1, 1]


def test_an_ssd_labels_file_that_is_too_short_is_refused_when_the_class_is_found(
    small_models, tmp_path, lamps
):
    labels = tmp_path / "labels.txt"
    labels.write_text("dark\n")
    opened = detector(small_models, "ssd", labels_file=labels)
    with pytest.raises(ModelError, match="expected a name for class 1, got 1 names"):
        opened.detect(lamps((2, 5)))


def test_states_are_fed_back_from_frame_to_frame_and_forgotten_on_reset(small_models, lamps):
    opened = detector(small_models, "slow", min_score=0.05)
    scores = [opened.detect(frame).scores.max() for frame in (lamps((1, 1)), lamps((1, 1)), lamps())]
    assert scores == pytest.approx([0.5, 0.75, 0.375], abs=1e-5)
    opened.reset()
    assert len(opened.detect(lamps())) == 0


def test_frames_may_be_prepared_ahead_and_dropped(small_models, lamps):
    opened = detector(small_models)
    first, dropped, third = (opened.prepare(lamps((n, n))) for n in range(3))
    del dropped
    opened.invoke(first)
    opened.invoke(third)
    assert opened.decode(third).boxes[0].tolist() == pytest.approx([16, 16, 24, 24], abs=0.1)
    assert opened.decode(first).boxes[0].tolist() == pytest.approx([0, 0, 8, 8], abs=0.1)


def test_a_frame_is_decoded_once(small_models, lamps):
    opened = detector(small_models)
    prepared = opened.prepare(lamps())
    opened.invoke(prepared)
    opened.decode(prepared)
    for phase in (opened.invoke, opened.decode):
        with pytest.raises(ValueError, match="decoded already"):
            phase(prepared)


def test_preparing_in_another_thread_mixes_no_frames(small_models, lamps):
    opened = detector(small_models)
    places = [(n % 8, n // 8 % 8) for n in range(200)]
    ready: list = []
    arrived = threading.Condition()

    def capture():
        for place in places:
            prepared = opened.prepare(lamps(place))
            with arrived:
                arrived.wait_for(lambda: len(ready) < 4, timeout=60)
                ready.append(prepared)
                arrived.notify_all()

    thread = threading.Thread(target=capture)
    thread.start()
    for column, row in places:
        with arrived:
            assert arrived.wait_for(lambda: bool(ready), timeout=60)
            prepared = ready.pop(0)
            arrived.notify_all()
        opened.invoke(prepared)
        assert opened.decode(prepared).boxes[0].tolist() == pytest.approx(
            [column * 8, row * 8, column * 8 + 8, row * 8 + 8], abs=0.1
        )
    thread.join(timeout=60)


def test_boxes_of_an_unwanted_size_are_dropped(small_models, lamps):
    part = 1 / 64
    assert len(detector(small_models, min_area=part * 1.01).detect(lamps((1, 1)))) == 0
    assert len(detector(small_models, max_area=part * 0.99).detect(lamps((1, 1)))) == 0
    assert len(detector(small_models, min_area=part * 0.99, max_area=part * 1.01).detect(lamps((1, 1)))) == 1


def test_a_label_that_the_model_does_not_know_is_refused(small_models):
    with pytest.raises(ModelError, match="got 'lampp'"):
        detector(small_models, labels=("lampp",))


@pytest.mark.data
@pytest.mark.parametrize("name", ["mobilenet_v2_1.0_224_quant", "movenet_single_pose_lightning_ptq"])
def test_models_of_other_tasks_are_refused_with_their_outputs(shared_data, name):
    with pytest.raises(ModelError, match="expected outputs of a known detector") as caught:
        open_detector(DetectorSettings(model=shared_data / "models" / f"{name}.tflite"))
    assert "\n" not in str(caught.value)


@pytest.mark.data
def test_a_labels_file_shorter_than_the_model_is_refused_by_name(shared_data, tmp_path):
    labels = tmp_path / "two.txt"
    labels.write_text("person\ncar\n")
    model = shared_data / "models" / "yolox_nano_float16_quantize.tflite"
    with pytest.raises(ModelError, match=r"two\.txt: expected 80 labels, .* got 2"):
        open_detector(DetectorSettings(model=model, labels_file=labels))


@pytest.mark.data
@pytest.mark.slow
def test_yolox_without_a_spec_finds_people_as_well_as_its_float_reference(shared_data):
    """Person AP50 0.904 on every 8th frame of PETS: pre- and post-processing are those of its authors."""
    pytest.importorskip("pycocotools")
    from models.evaluate.annotations import read_motchallenge, read_video
    from models.evaluate.detection import evaluate_detections

    opened = open_detector(
        DetectorSettings(
            model=shared_data / "models" / "yolox_nano_float16_quantize.tflite",
            labels_file=shared_data / "models" / "coco.names",
            min_score=0.001,
        )
    )
    truth = read_motchallenge(shared_data / "pets09_s2l1" / "gt" / "gt.txt", (480, 360))
    numbers = [number for number in range(1, 796, 8) if number in truth]
    video = read_video(shared_data / "pets09_s2l1" / "vtest_480x360.mp4", numbers)
    found = {number: opened.detect(Frame(image, 0.0, 0.0, number)) for number, image in video}
    scores = evaluate_detections({n: truth[n] for n in numbers}, found, opened.labels, only=["person"])
    assert scores.mean.ap50 == pytest.approx(0.904, abs=0.01)


@pytest.mark.data
def test_both_runtimes_find_the_same_person(shared_data):
    pytest.importorskip("tflite_runtime")
    image = cv2.imread(str(shared_data / "models" / "grace_hopper.bmp"))
    found = [
        open_detector(
            DetectorSettings(
                model=shared_data / "models" / "yolox_nano_float16_quantize.tflite",
                labels_file=shared_data / "models" / "coco.names",
                labels=("person",),
                runtime=runtime,
            )
        ).detect(Frame(image, 0.0, 0.0, 0))
        for runtime in ("litert", "tflite-runtime")
    ]
    assert len(found[0]) == len(found[1]) == 1
    assert found[0].scores[0] > 0.9
    np.testing.assert_allclose(found[0].boxes, found[1].boxes, atol=1.0)


@pytest.mark.data
def test_a_written_spec_finds_what_the_inferred_one_finds(shared_data, tmp_path):
    models = shared_data / "models"
    model, names = models / "yolox_nano_float16_quantize.tflite", read_labels(models / "coco.names")
    spec = ModelSpec(
        name="yolox-nano",
        task="detection",
        decoder="yolox",
        input=InputSpec(
            width=416,
            height=416,
            layout="nchw",
            colour="bgr",
            mean=(0.0,),
            std=(1.0,),
            anchor="top-left",
            pad=114,
        ),
        outputs=(OutputSpec(role="predictions", name="PartitionedCall:0"),),
        strides=(8, 16, 32),
        labels=names,
        min_iou_nms=0.45,
    )
    save_spec(spec, tmp_path / "yolox.json")
    image = cv2.imread(str(models / "grace_hopper.bmp"))
    written = open_detector(DetectorSettings(model=model, spec=tmp_path / "yolox.json"))
    inferred = open_detector(DetectorSettings(model=model, labels_file=models / "coco.names"))
    found = [detector.detect(Frame(image, 0.0, 0.0, 0)) for detector in (written, inferred)]
    assert len(found[0]) > 0
    np.testing.assert_array_equal(found[0].boxes, found[1].boxes)
    np.testing.assert_array_equal(found[0].scores, found[1].scores)
    assert written.labels == inferred.labels
