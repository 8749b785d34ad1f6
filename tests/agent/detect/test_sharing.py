"""Several detectors on one loaded model: in turn, without mixing what they see, also when a device fails."""

from __future__ import annotations

import shutil
import threading
from collections.abc import Iterator
from pathlib import Path

import cv2
import numpy as np
import pytest

from agent.assembly import build_pipeline
from agent.config import CameraSettings, make_section
from agent.detect.detector import open_detector
from agent.detect.device_status import DeviceState, DeviceStatus
from agent.detect.interpreter import Interpreter
from agent.detect.settings import FAKE_TPU_VARIABLE, DetectorSettings
from agent.detect.sharing import FairLock, ModelPool
from agent.detect.tflite_detector import TfliteDetector
from tests.conftest import wait_until

TURNS = 50


def settings(folder: Path, name: str = "bright", **more: object) -> DetectorSettings:
    return DetectorSettings.model_validate({"model": folder / f"{name}.tflite", "threads": 1} | more)


def test_a_turn_goes_to_whoever_has_waited_longest():
    turn, order = FairLock(), []

    def take(name: int) -> None:
        with turn:
            order.append(name)

    threads = [threading.Thread(target=take, args=(name,)) for name in range(5)]
    with turn:
        for waiting, thread in enumerate(threads, 1):
            thread.start()
            wait_until(lambda waiting=waiting: len(turn._waiting) == waiting, 60, "the thread in line")
    for thread in threads:
        thread.join(60)
    assert order == [0, 1, 2, 3, 4]


def test_nobody_gets_two_turns_while_another_waits():
    turn, order, everybody = FairLock(), [], threading.Barrier(3)

    def take_often(name: int) -> None:
        everybody.wait(60)
        for _ in range(TURNS):
            with turn:
                order.append(name)
                # Leave only when the others stand in line, as cameras do that are faster than the model.
                if order.count(name) < TURNS:
                    busy = sum(order.count(other) < TURNS for other in range(3) if other != name)
                    wait_until(lambda busy=busy: len(turn._waiting) >= busy, 60, "the others in line")

    threads = [threading.Thread(target=take_often, args=(name,)) for name in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert len(order) == 3 * TURNS
    full = order[3 : 3 * (TURNS - 2)]
    assert all(
        first != second != third != first
        for first, second, third in zip(full, full[1:], full[2:], strict=False)
    )


def test_a_turn_that_ends_in_an_error_is_given_on():
    turn = FairLock()
    with pytest.raises(RuntimeError, match="no answer"), turn:
        raise RuntimeError("no answer")
    with turn:
        assert not turn._waiting


def test_the_same_model_device_and_threads_are_one_model_until_the_last_camera_ends(small_models):
    pool = ModelPool()
    first, second = (TfliteDetector(settings(small_models), None, pool) for _ in range(2))
    other = TfliteDetector(settings(small_models, threads=2), None, pool)
    assert first.interpreter is second.interpreter
    assert other.interpreter is not first.interpreter
    alone = TfliteDetector(settings(small_models))
    assert alone.interpreter is not first.interpreter
    first.close()
    assert TfliteDetector(settings(small_models), None, pool).interpreter is second.interpreter


def test_settings_that_are_a_cameras_own_may_differ_on_one_model(small_models, lamps):
    pool = ModelPool()
    all_sizes = TfliteDetector(settings(small_models), None, pool)
    large = TfliteDetector(settings(small_models, min_area=0.5), None, pool)
    assert large.interpreter is all_sizes.interpreter
    assert len(all_sizes.detect(lamps((1, 1)))) == 1
    assert len(large.detect(lamps((1, 1)))) == 0


def test_cameras_in_threads_of_their_own_each_find_what_is_theirs(small_models, lamps):
    pool, wrong = ModelPool(), []
    detectors = [TfliteDetector(settings(small_models), None, pool) for _ in range(4)]

    def watch(camera: int) -> None:
        for n in range(TURNS):
            column, row = n % 8, camera
            boxes = detectors[camera].detect(lamps((column, row))).boxes
            if not np.allclose(boxes, [[column * 8, row * 8, column * 8 + 8, row * 8 + 8]], atol=0.1):
                wrong.append((camera, n, boxes))

    threads = [threading.Thread(target=watch, args=(camera,)) for camera in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert wrong == []


def test_each_camera_of_a_recurrent_model_has_a_memory_of_its_own(small_models, lamps):
    pool = ModelPool()
    one, other = (
        TfliteDetector(settings(small_models, "slow", min_score=0.05), None, pool) for _ in range(2)
    )
    assert one.interpreter is other.interpreter
    lit = [one.detect(lamps((1, 1))).scores.max(), one.detect(lamps((1, 1))).scores.max()]
    assert len(other.detect(lamps())) == 0
    assert [*lit, one.detect(lamps()).scores.max()] == pytest.approx([0.5, 0.75, 0.375], abs=1e-5)
    one.reset()
    assert other.detect(lamps((2, 2))).scores.max() == pytest.approx(0.5, abs=1e-5)


def test_a_model_that_remembers_inside_is_shared_with_nobody(small_models):
    pool = ModelPool()
    first = pool.open(settings(small_models))
    first.keep_alone()
    second = pool.open(settings(small_models))
    assert second.runner is not first.runner
    first.close()
    second.close()
    first.close()


def test_a_camera_that_hangs_holds_up_no_other_on_its_model(small_models, tmp_path):
    clip = tmp_path / "clip.avi"
    video = cv2.VideoWriter(str(clip), cv2.VideoWriter_fourcc(*"MJPG"), 10.0, (64, 64))
    for _ in range(60):
        video.write(np.zeros((64, 64, 3), np.uint8))
    video.release()
    detector = {"model": small_models / "bright.tflite", "threads": 1}
    camera = make_section(CameraSettings, {"source": str(clip), "detector": detector})
    pool, stop, hangs = ModelPool(), threading.Event(), threading.Event()
    pipelines = [
        build_pipeline(name, camera, publish=print, detector=open_detector(camera.detector, None, pool))
        for name in ("hanging", "well")
    ]
    pipelines[0].observers.append(lambda step: hangs.wait(60))
    threads = [threading.Thread(target=pipeline.run, args=(stop,)) for pipeline in pipelines]
    for thread in threads:
        thread.start()
    threads[1].join(60)
    assert pipelines[1].summary.frames == 60
    assert pipelines[0].summary.frames <= 1
    hangs.set()
    threads[0].join(60)
    assert pipelines[0].summary.frames == 60


@pytest.mark.data
def test_operators_that_remember_are_known(shared_data, small_models):
    lstm = Interpreter(shared_data / "edgetpu_pairs" / "keras_lstm_mnist_ptq.tflite", threads=1)
    assert lstm.stateful
    assert not Interpreter(small_models / "bright.tflite", threads=1).stateful


@pytest.fixture
def fake_tpu(small_models, tmp_path, monkeypatch) -> Iterator[Path]:
    """A folder with a bundle for a fake Edge TPU, which obeys the file `0` in it."""
    for name in ("bright.tflite", "bright.json"):
        shutil.copy(small_models / name, tmp_path / name)
    shutil.copy(small_models / "bright.tflite", tmp_path / "bright_edgetpu.tflite")
    monkeypatch.setenv(FAKE_TPU_VARIABLE, str(tmp_path))
    return tmp_path


def test_a_lost_device_is_one_fault_for_all_cameras_and_none_loses_a_frame(fake_tpu, lamps):
    told: dict[str, list[DeviceStatus]] = {"agent": [], "front": [], "back": []}
    pool = ModelPool(told["agent"].append)
    wanted = settings(fake_tpu, "bright_edgetpu", device="fake:0", deadline_s=0.5)
    front, back = (open_detector(wanted, told[name].append, pool) for name in ("front", "back"))
    try:
        assert [status.state for status in told["back"]] == [DeviceState.ONLINE]
        (fake_tpu / "0").write_text("abort")
        found = [camera.detect(lamps((place, 3))) for place in range(4) for camera in (front, back)]
        assert [len(each) for each in found] == [1] * 8
        assert found[7].boxes.tolist() == pytest.approx(np.array([[24, 24, 32, 32]]), abs=0.1)
        (fake_tpu / "0").unlink(missing_ok=True)
        wait_until(
            lambda: told["back"][-1].state is DeviceState.ONLINE and len(told["back"]) > 1, 60, "return"
        )
        for statuses in told.values():
            assert [status.state for status in statuses][:2] == [DeviceState.ONLINE, DeviceState.FALLBACK]
            assert statuses[-1].faults >= 1
        front.close()
        assert len(back.detect(lamps((1, 1)))) == 1
    finally:
        front.close()
        back.close()
