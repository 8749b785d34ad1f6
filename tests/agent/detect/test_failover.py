"""Every fault of a fake Edge TPU, on a real model: the same frame is answered, and the device comes back."""

from __future__ import annotations

import json
import logging
import os
import shutil
import signal
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from threading import Event, Thread

import cv2
import numpy as np
import pytest

from agent.assembly import build_pipeline
from agent.capture.looped import LoopedSource
from agent.capture.settings import SourceSettings
from agent.config import CameraSettings, load_config, make_section
from agent.detect.detector import open_detector, probe_detector
from agent.detect.device_status import DeviceError, DeviceState, DeviceStatus
from agent.detect.failover import FailoverInterpreter
from agent.detect.interpreter import Interpreter
from agent.detect.runner import open_runner
from agent.detect.settings import FAKE_TPU_VARIABLE, DetectorSettings
from agent.detect.tflite_detector import TfliteDetector
from agent.detect.tpu_process import TpuProcess, WorkerError
from agent.doctor.finding import Level
from agent.doctor.inference import check_model, measure
from agent.errors import ModelError
from agent.pipeline import CameraPipeline
from tests.awake import AwakeClock

DEADLINE_S = 4.0
"""More than a machine stands still: no answer is late but those that are told to be."""
LIMIT_S = 2.0
"""What the issue allows between a fault and the CPU's answer, of it a second for the deadline."""


@dataclass
class FakeTpu:
    """A fake device and a bundle for it."""

    model: Path
    control: Path
    reports: list[DeviceStatus] = field(default_factory=list)

    @property
    def states(self) -> list[DeviceState]:
        return [report.state for report in self.reports]

    def command(self, text: str) -> None:
        """Give it a command, in one step."""
        part = self.control.with_suffix(".part")
        part.write_text(text)
        part.rename(self.control)

    def obey(self) -> None:
        """Back to normal."""
        self.control.unlink(missing_ok=True)

    def settings(self, **more: object) -> DetectorSettings:
        content = {"model": self.model, "device": "fake:0", "threads": 1, "deadline_s": DEADLINE_S}
        return DetectorSettings.model_validate(content | more)

    def spawn(self, deadline_s: float = DEADLINE_S) -> TpuProcess:
        """A process alone."""
        return TpuProcess(
            self.model,
            device="fake:0",
            threads=1,
            deadline_s=deadline_s,
            module="agent.detect.tpu_fake",
            environment={FAKE_TPU_VARIABLE: str(self.control.parent)},
        )

    def open(self, *, verify_every_s: float = 60.0, **more: float) -> FailoverInterpreter:
        """With the CPU standing by, and short pauses."""
        standby = Interpreter(self.model.with_name("bright.tflite"), threads=1)
        return FailoverInterpreter(
            "fake:0",
            self.spawn,
            standby,
            on_device=self.reports.append,
            retry_min_s=0.02,
            retry_max_s=0.05,
            verify_every_s=verify_every_s,
            **({"patience_s": 60.0} | more),
        )


@pytest.fixture
def tpu(small_models, tmp_path, monkeypatch) -> FakeTpu:
    for name in ("bright.tflite", "bright.json"):
        shutil.copy(small_models / name, tmp_path / name)
    shutil.copy(small_models / "bright.tflite", tmp_path / "bright_edgetpu.tflite")
    monkeypatch.setenv(FAKE_TPU_VARIABLE, str(tmp_path))
    return FakeTpu(tmp_path / "bright_edgetpu.tflite", tmp_path / "0")


@pytest.fixture
def awake() -> Iterator[AwakeClock]:
    clock = AwakeClock()
    yield clock
    clock.close()


@pytest.fixture
def opened(tpu) -> Iterator[FailoverInterpreter]:
    interpreter = tpu.open()
    yield interpreter
    interpreter.close()


def wait_until(condition: Callable[[], bool], what: str, timeout_s: float = 60.0) -> None:
    deadline = time.monotonic() + timeout_s
    while not condition():
        assert time.monotonic() < deadline, f"{what} did not hold within {timeout_s} s"
        time.sleep(0.01)


def answer(interpreter, level: int) -> list[int]:
    """What the model says of a picture of one grey level: that level, as it is the mean of its cells."""
    interpreter.input_view(0)[...] = level
    interpreter.invoke()
    return np.unique(interpreter.output(1)).tolist()


def gone(pid: int) -> bool:
    """Whether no such process runs; one that nobody has waited for yet counts as gone."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] == "Z"
    except (FileNotFoundError, ProcessLookupError):
        return True


def test_the_process_answers_as_the_interpreter_does(tpu):
    here, there = Interpreter(tpu.model, threads=1), tpu.spawn()
    there.start(60.0)
    try:
        assert (there.inputs, there.outputs) == (here.inputs, here.outputs)
        picture = np.random.default_rng(0).integers(-128, 128, (1, 64, 64, 3), np.int8)
        for interpreter in (here, there):
            interpreter.input_view(0)[...] = picture
            interpreter.invoke()
        for index in range(2):
            np.testing.assert_array_equal(there.output(index), here.output(index))
    finally:
        there.close()


@pytest.mark.parametrize("fault", ["abort", "segfault", "hang", "late 8", "fail", "stale", "short"])
def test_the_frame_of_a_fault_is_answered_by_the_cpu_and_the_device_comes_back(tpu, opened, awake, fault):
    took_s = []
    for cycle in range(3):
        pid = opened.device_pid
        assert answer(opened, cycle) == [cycle]
        tpu.command(fault)
        started_s = awake.now_s()
        while len(tpu.reports) < 2 * cycle + 2:
            assert answer(opened, 100 + cycle) == [100 + cycle]
        took_s.append(awake.now_s() - started_s)
        wait_until(lambda cycle=cycle: len(tpu.reports) == 2 * cycle + 3, "return")
        assert answer(opened, 50 + cycle) == [50 + cycle]
        assert opened.device_pid != pid
        wait_until(lambda pid=pid: gone(pid), "end of the old process")
    assert tpu.states == [DeviceState.ONLINE, *[DeviceState.FALLBACK, DeviceState.ONLINE] * 3]
    assert tpu.reports[-1].faults == 3
    assert np.median(took_s) < (DEADLINE_S - 1.0 if fault in ("hang", "late 8") else 0.0) + LIMIT_S


def test_a_hang_at_the_default_deadline_is_over_within_two_seconds(tpu, awake, monkeypatch):
    spawn, deadline_s = tpu.spawn, DetectorSettings.model_fields["deadline_s"].default
    monkeypatch.setattr(tpu, "spawn", lambda: spawn(deadline_s))
    opened, took_s = tpu.open(), []
    try:
        for _ in range(3):
            wait_until(lambda: tpu.states[-1] is DeviceState.ONLINE, "the device")
            assert answer(opened, 7) == [7]
            seen = len(tpu.reports)
            tpu.command("hang")
            began_s = awake.now_s()
            while len(tpu.reports) == seen:
                assert answer(opened, 9) == [9]
            took_s.append(awake.now_s() - began_s)
    finally:
        opened.close()
    assert np.median(took_s) < LIMIT_S


@pytest.mark.parametrize("fault", ["garbage"])
def test_noise_that_looks_like_an_answer_is_found_by_the_test_picture(tpu, awake, fault):
    opened, took_s = tpu.open(verify_every_s=0.05), []
    try:
        for cycle in range(3):
            assert answer(opened, cycle) == [cycle]
            tpu.command(fault)
            started_s = awake.now_s()
            while len(tpu.reports) < 2 * cycle + 2:
                answer(opened, 100)
            took_s.append(awake.now_s() - started_s)
            assert "expected the known answer to the test picture" in tpu.reports[2 * cycle + 1].reason
            assert answer(opened, 101) == [101]
            wait_until(lambda cycle=cycle: len(tpu.reports) == 2 * cycle + 3, "return")
        assert np.median(took_s) < LIMIT_S
    finally:
        opened.close()


def test_the_signal_and_the_last_words_are_reported(tpu, opened):
    tpu.command("abort")
    wait_until(lambda: answer(opened, 1) == [1] and len(tpu.reports) > 1, "fault")
    line = str(tpu.reports[1])
    assert line.startswith("device fake:0: expected ")
    assert "its process died of SIGABRT (F fake.cc:1] transfer on tag 2 failed. Abort.)" in line
    assert "the CPU runs bright.tflite meanwhile, next try in 0.0 s (attempt 1)" in line


def test_a_process_that_dies_between_frames_is_noticed_without_one(tpu, opened):
    opened._online.process.kill()
    wait_until(lambda: len(tpu.reports) >= 3, "report of the fault and of the return")
    assert "its process died of SIGKILL" in tpu.reports[1].reason
    assert answer(opened, 7) == [7]


def test_a_late_answer_is_never_taken_for_that_to_another_frame(tpu):
    process = tpu.spawn(deadline_s=0.2)
    process.start(60.0)
    try:
        tpu.command("late 4")  # which no moment's stand of the agent makes early
        with pytest.raises(WorkerError, match=r"expected an answer within 0\.2 s, got none"):
            process.invoke()
        # Asked again, as nothing but a mistake of the agent would: the answer that arrives is the late one.
        process.process.channel.settimeout(60.0)
        with pytest.raises(WorkerError, match=r"expected the answer to request 5, got that to 4"):
            process.invoke()
    finally:
        process.close()


def test_a_device_that_is_away_at_the_start_is_tried_again(tpu):
    tpu.command("unplugged")
    opened = tpu.open()
    try:
        assert tpu.states[0] is DeviceState.FALLBACK
        assert "expected an Edge TPU, the fake is unplugged" in tpu.reports[0].reason
        assert answer(opened, 9) == [9]
        tpu.obey()
        wait_until(lambda: tpu.states[-1] is DeviceState.ONLINE, "return")
        assert answer(opened, 10) == [10]
        assert opened.device_pid is not None
    finally:
        opened.close()


def test_a_device_that_hangs_while_it_starts_holds_up_the_cpu_for_a_moment_only(tpu, awake):
    Interpreter(tpu.model.with_name("bright.tflite"), threads=1).close()  # its runtime is loaded now
    tpu.command("load-hang")
    began_s = awake.now_s()
    opened = tpu.open(patience_s=0.1, start_deadline_s=6.0)
    try:
        assert awake.now_s() - began_s < 2.0
        assert tpu.states == []
        assert answer(opened, 9) == [9]
        wait_until(lambda: tpu.states[:1] == [DeviceState.FALLBACK], "report")
        assert "expected it to load bright_edgetpu.tflite within 6 s, it hangs" in tpu.reports[0].reason
        assert answer(opened, 10) == [10]
        tpu.obey()
        wait_until(lambda: tpu.states[-1] is DeviceState.ONLINE, "return", 120.0)
        assert answer(opened, 11) == [11]
        assert opened.device_pid is not None
    finally:
        opened.close()


def test_a_device_that_starts_after_the_cpu_takes_over_if_it_holds_the_same_model(
    small_models, tpu, monkeypatch
):
    spawn, looked = tpu.spawn, Event()
    monkeypatch.setattr(tpu, "spawn", lambda: looked.wait(60) and spawn())
    opened = tpu.open(patience_s=0.0)
    try:
        assert opened.device_pid is None
        assert answer(opened, 9) == [9]
        looked.set()
        wait_until(lambda: tpu.states == [DeviceState.ONLINE], "start")
        assert answer(opened, 10) == [10]
        assert opened._active is opened._online
    finally:
        opened.close()
    tpu.reports.clear()
    standby = Interpreter(small_models / "ssd.tflite")
    opened = FailoverInterpreter("fake:0", tpu.spawn, standby, on_device=tpu.reports.append, patience_s=0.0)
    try:
        wait_until(lambda: len(tpu.reports) >= 1, "report")
        assert "bright_edgetpu.tflite: expected the same model as at the start" in tpu.reports[0].reason
        assert opened.device_pid is None
    finally:
        opened.close()


def test_check_waits_for_a_device_that_starts_after_the_cpu(tpu, monkeypatch):
    monkeypatch.setitem(FailoverInterpreter.__init__.__kwdefaults__, "patience_s", 0.0)
    probe_detector(tpu.settings()).close()
    tpu.command("load-abort")
    with pytest.raises(ModelError, match=r"its process died of SIGABRT"):
        probe_detector(tpu.settings())


@pytest.mark.parametrize(
    ("command", "limit_s", "said"),
    [
        ("load-abort", 60.0, "expected it to load bright_edgetpu.tflite, its process died of SIGABRT"),
        ("load-hang", 3.0, "expected it to load bright_edgetpu.tflite within 3 s, it hangs"),
    ],
)
def test_native_code_that_fails_while_loading_is_one_clear_line(tpu, command, limit_s, said):
    tpu.command(command)
    process = tpu.spawn()
    try:
        with pytest.raises(WorkerError) as caught:
            process.start(limit_s)
    finally:
        process.process.kill()
        process.close()
    assert said in str(caught.value)
    assert "\n" not in str(caught.value)
    wait_until(lambda: gone(process.process.pid), "end of the process")


def test_states_survive_the_device(small_models, tpu, lamps):
    """The recurrent model goes on where it was: as one that never left the CPU."""
    for name in ("slow.tflite", "slow.json"):
        shutil.copy(small_models / name, tpu.model.parent / name)
    shutil.copy(small_models / "slow.tflite", tpu.model.with_name("slow_edgetpu.tflite"))
    alone = TfliteDetector(DetectorSettings(model=small_models / "slow.tflite", threads=1, min_score=0.05))
    settings = tpu.settings(model=tpu.model.with_name("slow_edgetpu.tflite"), min_score=0.05)
    guarded = TfliteDetector(settings, tpu.reports.append)
    try:

        def both() -> None:
            frame = lamps((1, 1))
            wanted, found = alone.detect(frame), guarded.detect(frame)
            np.testing.assert_array_equal(found.scores, wanted.scores)

        both()
        tpu.command("abort")
        while len(tpu.reports) < 2:
            both()
        both()
        wait_until(lambda: len(tpu.reports) >= 3, "return")
        both()
        assert guarded.detect(lamps()).scores.max() == pytest.approx(alone.detect(lamps()).scores.max())
    finally:
        guarded.close()


def test_nan_from_a_float_output_is_refused(small_models, tpu):
    shutil.copy(small_models / "slow.tflite", tpu.model.with_name("bright.tflite"))
    process = tpu.spawn()
    process.start(60.0)
    try:
        tpu.command("nan")
        with pytest.raises(WorkerError, match=r"expected finite numbers in output .*, got NaN or infinity"):
            process.invoke()
    finally:
        process.close()


def test_without_a_cpu_model_the_loss_of_the_device_is_an_error_until_it_is_back(tpu):
    opened = FailoverInterpreter(
        "fake:0", tpu.spawn, None, on_device=tpu.reports.append, retry_min_s=0.02, retry_max_s=0.05
    )
    try:
        assert answer(opened, 3) == [3]
        tpu.command("fail")
        with pytest.raises(WorkerError, match="got a failed transfer"):
            opened.invoke()
        assert str(tpu.reports[1]).endswith("; nothing stands in for it, next try in 0.0 s (attempt 1)")
        wait_until(lambda: tpu.states[-1] is DeviceState.ONLINE, "return")
        assert answer(opened, 4) == [4]
    finally:
        opened.close()


@pytest.fixture
def clip(tmp_path) -> Path:
    path = tmp_path / "clip.avi"
    video = cv2.VideoWriter(str(path), cv2.VideoWriter.fourcc(*"MJPG"), 20.0, (64, 64))
    for number in range(40):
        video.write(np.full((64, 64, 3), 2 * number, np.uint8))
    video.release()
    return path


def isolated_camera(model: Path, clip: Path, source: str, reports: list[DeviceStatus]) -> CameraPipeline:
    """A camera whose model runs on the CPU in a process of its own, with nothing to stand in for it."""
    detector = DetectorSettings(model=model, threads=1, isolate="always", deadline_s=60)
    camera = make_section(
        CameraSettings,
        {"source": source, "frozen_after_s": 0, "stale_after_s": 60, "detector": detector.model_dump()},
    )
    pictures = SourceSettings(source=str(clip))
    return build_pipeline(
        "front",
        camera,
        publish=print,
        detector=open_detector(camera.detector, reports.append),
        open_camera=lambda: LoopedSource(pictures, paced=True),
    )


def test_a_live_camera_outlives_its_model_and_goes_on_when_that_is_back(small_models, clip):
    reports: list[DeviceStatus] = []
    pipeline, stop = isolated_camera(small_models / "bright.tflite", clip, "/dev/video77", reports), Event()
    failures: list[BaseException] = []

    def run() -> None:
        try:
            pipeline.run(stop)
        except ModelError as error:
            failures.append(error)

    thread = Thread(target=run)
    thread.start()
    try:
        for life in range(1, 3):
            frames = pipeline.summary.frames
            wait_until(lambda frames=frames: pipeline.summary.frames > frames + 3, "frames")
            unseen = pipeline.unseen
            os.kill(pipeline._detector.interpreter.device_pid, signal.SIGKILL)
            wait_until(lambda life=life: len(reports) == 2 * life + 1, "return")
            assert pipeline.unseen > unseen
            assert [report.state for report in reports[-2:]] == [DeviceState.LOST, DeviceState.ONLINE]
            assert "bright.tflite: expected" in str(reports[-2]) and "SIGKILL" in str(reports[-2])
        frames = pipeline.summary.frames
        wait_until(lambda: pipeline.summary.frames > frames + 3, "frames")
        assert pipeline.summary.dropped >= pipeline.unseen
    finally:
        stop.set()
        thread.join(60)
        pipeline._detector.close()
    assert failures == []


def test_a_file_is_not_passed_over_while_its_model_is_away(small_models, clip):
    pipeline = isolated_camera(small_models / "bright.tflite", clip, str(clip), [])
    pid = pipeline._detector.interpreter.device_pid
    pipeline.observers.append(lambda step: os.kill(pid, signal.SIGKILL))
    try:
        with pytest.raises(DeviceError):
            pipeline.run(Event())
    finally:
        pipeline._detector.close()
    assert pipeline.unseen == 0


def test_a_missing_cpu_model_is_told_of_at_the_start(tpu, caplog):
    tpu.model.with_name("bright.tflite").unlink()
    with caplog.at_level(logging.WARNING), pytest.raises(ModelError, match=r"bright\.tflite: expected a"):
        open_runner(tpu.settings())
    assert "expected bright.tflite beside it, to go on with when the device fails, got none" in caplog.text


def test_a_cpu_model_that_is_another_is_refused_at_the_start(small_models, tpu):
    standby = Interpreter(small_models / "ssd.tflite")
    with pytest.raises(ModelError, match=r"ssd\.tflite: expected the inputs and outputs of bright_edgetpu"):
        FailoverInterpreter("fake:0", tpu.spawn, standby)


def test_check_says_what_run_would_work_around(tpu):
    tpu.command("unplugged")
    with pytest.raises(ModelError) as caught:
        probe_detector(tpu.settings())
    assert str(caught.value).startswith("device fake:0: expected an Edge TPU, the fake is unplugged")
    tpu.obey()
    detector = probe_detector(tpu.settings())
    assert detector.labels == ("lamp",)
    detector.close()


def test_doctor_times_the_device_and_not_the_cpu_in_its_place(tpu, tmp_path, monkeypatch):
    path = tmp_path / "edgetrack.yaml"
    detector = tpu.settings().model_dump(include={"model", "device", "deadline_s"}, mode="json")
    path.write_text(
        json.dumps({"device": "porch", "cameras": {"front": {"source": "0", "detector": detector}}})
    )
    monkeypatch.setitem(FailoverInterpreter.__init__.__kwdefaults__, "patience_s", 0.0)
    assert measure(path, "front")["count"] > 0
    tpu.command("load-abort")
    with pytest.raises(ModelError, match=r"its process died of SIGABRT"):
        measure(path, "front")
    (found,) = check_model(path, "front", load_config(path).cameras["front"])
    assert found.level is Level.FAIL
    assert "died of SIGABRT" in found.found


@pytest.mark.parametrize("device", ["fake:0", "fake:00", "fake:x"])
def test_no_fake_device_can_be_named_in_production(device, monkeypatch):
    monkeypatch.delenv(FAKE_TPU_VARIABLE, raising=False)
    with pytest.raises(ValueError, match="device"):
        DetectorSettings.model_validate({"model": "m.tflite", "device": device})
