"""`bench --soak`: the numbers it is made of, a file without an end, and a whole short run."""

from __future__ import annotations

import gc
import json
import mmap
import subprocess
import sys
import time
from pathlib import Path

import cv2
import numpy as np
import pytest
from rich.console import Console

from agent.capture.looped import LoopedSource
from agent.capture.settings import SourceSettings
from agent.config import CameraSettings, make_section
from agent.detect.settings import DetectorSettings
from agent.errors import EdgetrackError, SourceError
from agent.footprint import Footprint, footprint, machine_name, peak_rss_mb, temperature_c
from agent.records import Detections, Tracks
from agent.soak import Durations, SoakOptions, rss_slope_mb_per_h, soak_pipeline
from agent.track import Tracker

FRAMES, FPS = 5, 25.0


@pytest.fixture
def clip(tmp_path: Path) -> Path:
    path = tmp_path / "clip.avi"
    video = cv2.VideoWriter(str(path), cv2.VideoWriter_fourcc(*"MJPG"), FPS, (320, 320))
    for n in range(FRAMES):
        picture = np.zeros((320, 320, 3), np.uint8)
        picture[120:160, 40 * n : 40 * n + 40] = 255
        video.write(picture)
    video.release()
    return path


def test_quantiles_are_right_within_a_percent_over_all_parts():
    durations_s = np.random.default_rng(0).lognormal(-4.0, 1.0, 5000)
    parts = Durations(), Durations()
    for n, duration_s in enumerate(durations_s):
        parts[n % 2].add(duration_s)
    found = Durations.quantiles_ms(parts, (0.5, 0.95, 0.99))
    assert found == pytest.approx(np.quantile(durations_s * 1e3, (0.5, 0.95, 0.99)).tolist(), rel=0.012)
    assert Durations.quantiles_ms([Durations()], (0.5,)) == [0.0]


def at(time_s: float, rss_mb: float) -> Footprint:
    return Footprint(time_s, 0.0, 0.0, rss_mb, 1, 1, None)


def test_growth_is_told_per_hour_after_the_warm_up_and_not_of_a_short_run():
    warming = [at(t, 100.0 + 10 * t) for t in range(40)]
    steady = [at(t, 500.0) for t in range(40, 121)]
    leaking = [at(t, 500.0 + 0.01 * t) for t in range(40, 121)]
    assert rss_slope_mb_per_h(warming + steady) == pytest.approx(0.0, abs=0.1)
    assert rss_slope_mb_per_h(warming + leaking) == pytest.approx(36.0, abs=0.1)
    assert rss_slope_mb_per_h(warming) is None


def test_the_footprint_sees_memory_cpu_and_files(tmp_path):
    gc.collect()
    for _ in range(10):  # what other tests left behind may go between the two looks
        before = footprint()
        ballast = np.frombuffer(mmap.mmap(-1, 64_000_000), np.uint8)  # not what malloc kept of other tests'
        ballast[:] = 1
        with (tmp_path / "open").open("w"):
            after = footprint()
        grown_mb, opened = after.rss_mb - before.rss_mb, after.files - before.files
        del ballast
        if grown_mb > 0.8 * 64 and opened == 1:
            break
    assert grown_mb > 0.8 * 64
    assert opened == 1
    assert after.cpu_s > before.cpu_s
    assert after.machine_cpu_s >= before.machine_cpu_s
    assert peak_rss_mb() >= after.rss_mb * 0.99
    assert "cores" in machine_name()


def test_the_hottest_readable_sensor_counts(tmp_path):
    assert temperature_c(tmp_path) is None
    for zone, text in enumerate(("41250", "nonsense", "63000")):
        folder = tmp_path / "class" / "thermal" / f"thermal_zone{zone}"
        folder.mkdir(parents=True)
        (folder / "temp").write_text(text)
    assert temperature_c(tmp_path) == 63.0


def test_a_file_goes_on_with_rising_times_and_numbers(clip):
    source = LoopedSource(SourceSettings(source=str(clip)), paced=False)
    frames = [source.read() for _ in range(3 * FRAMES + 1)]
    source.close()
    times_s = [frame.time_s for frame in frames if frame is not None]
    assert times_s == pytest.approx([n / FPS for n in range(3 * FRAMES + 1)], abs=1e-3)
    assert [frame.index for frame in frames if frame is not None] == list(range(3 * FRAMES + 1))


def test_a_paced_file_comes_at_its_own_rate(clip):
    source = LoopedSource(SourceSettings(source=str(clip)), paced=True)
    started_s = time.monotonic()
    for _ in range(2 * FRAMES + 1):
        source.read()
    source.close()
    assert time.monotonic() - started_s >= 2 * FRAMES / FPS


def test_a_missing_file_is_an_error_of_the_source(tmp_path):
    with pytest.raises(SourceError):
        LoopedSource(SourceSettings(source=str(tmp_path / "none.avi")), paced=False)


def soak(model: Path, source: Path, *more: str) -> subprocess.CompletedProcess[str]:
    words = ["bench", "--model", str(model), "--source", str(source), "--threads", "1", *more]
    return subprocess.run(
        [sys.executable, "-m", "agent.cli", *words], capture_output=True, text=True, timeout=240, check=False
    )


def test_two_cameras_soak_on_one_model_and_nothing_of_them_is_left(small_models, clip):
    done = soak(small_models / "bright.tflite", clip, "--soak", "5", "--cameras", "2", "--json")
    assert done.returncode == 0, done.stderr
    report = json.loads(done.stdout)
    assert report["cameras"] == len(report["frames_by_camera"]) == 2
    assert min(report["frames_by_camera"]) > FRAMES  # past the end of the file
    assert report["frames"] <= sum(report["frames_by_camera"])
    assert report["fps"] * report["seconds"] >= report["frames"] * 0.99
    assert 0 < report["frame_ms"]["p50"] <= report["frame_ms"]["p95"] <= report["frame_ms"]["p99"]
    assert report["threads"]["end"] <= report["threads"]["start"]
    assert report["files"]["end"] <= report["files"]["start"] + 2  # a clip between two rounds
    assert report["rss_mb"]["slope_mb_per_h"] is None
    assert report["bare_invoke_ms"] > 0
    assert report["ratio_to_bare_invoke"] == pytest.approx(
        report["fps"] * report["bare_invoke_ms"] / 1e3, abs=2e-3
    )


@pytest.mark.parametrize("frames", [0, 40])
def test_an_unexpected_fault_of_a_camera_is_no_report_but_an_error(small_models, clip, monkeypatch, frames):
    detector = DetectorSettings(model=small_models / "bright.tflite", threads=1)
    camera = make_section(CameraSettings, {"source": str(clip), "detector": detector.model_dump()})
    update = Tracker.update

    def fail(tracker: Tracker, detections: Detections, time_s: float, *more: object) -> Tracks:
        if time_s >= frames / FPS:
            raise ZeroDivisionError("in the tracker")
        return update(tracker, detections, time_s, *more)

    monkeypatch.setattr(Tracker, "update", fail)
    with pytest.raises(EdgetrackError, match="camera camera0: ZeroDivisionError"):
        soak_pipeline(camera, SoakOptions(seconds=60.0), Console())


def test_the_table_names_the_machine_and_the_runtime(small_models, clip):
    done = soak(small_models / "bright.tflite", clip, "--soak", "1", "--paced")
    assert done.returncode == 0, done.stderr
    for words in (
        "machine",
        "litert",
        "frames/s",
        "at source",
        "open files",
        "others' CPU",
        "needs a minute",
    ):
        assert words in done.stdout


def test_a_missing_source_is_one_line(small_models, tmp_path):
    done = soak(small_models / "bright.tflite", tmp_path / "none.mp4", "--soak", "1")
    assert done.returncode == 66
    assert len(done.stderr.splitlines()) == 1
