from __future__ import annotations

import logging
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest

from agent.capture.container import inspect_container
from agent.capture.settings import SourceSettings
from agent.capture.source import Source, open_source
from agent.errors import SourceError
from agent.records import Frame

MakeVideo = Callable[..., Path]
ReadNumber = Callable[[np.ndarray], int]
ROOT = Path(__file__).resolve().parents[3]


def open_path(path: Path, **keys: Any) -> Source:
    return open_source(SourceSettings(source=str(path), **keys))


def read_all(source: Source) -> list[Frame]:
    frames = []
    try:
        while (frame := source.read()) is not None:
            frames.append(frame)
    finally:
        source.close()
    return frames


@pytest.mark.parametrize("name", ["video.mp4", "video.avi", "video.mkv"])
def test_every_frame_comes_in_order_at_its_time(
    make_video: MakeVideo, read_number: ReadNumber, name: str
) -> None:
    source = open_path(make_video(name))
    assert (source.live, source.fps, source.frame_count) == (False, 10.0, 50)
    frames = read_all(source)
    assert [read_number(frame.image) for frame in frames] == list(range(50))
    assert [frame.index for frame in frames] == list(range(50))
    assert [frame.time_s for frame in frames] == pytest.approx([index / 10 for index in range(50)])
    walls = {round(frame.wall_s - frame.time_s, 3) for frame in frames}
    assert len(walls) == 1


def test_fps_of_the_settings_takes_the_place_of_time_stamps(make_video: MakeVideo) -> None:
    frames = read_all(open_path(make_video(frames=10), fps=50))
    assert [frame.time_s for frame in frames] == pytest.approx([index / 50 for index in range(10)])


def test_uneven_time_stamps_are_kept(tmp_path: Path, make_video: MakeVideo, ffmpeg: str) -> None:
    uneven = tmp_path / "uneven.mkv"
    slow = "setpts='if(lt(N,10),N/10,1+(N-10)/2)/TB'"
    subprocess.run(
        [ffmpeg, "-v", "error", "-i", make_video(frames=20), "-vf", slow, "-fps_mode", "vfr", uneven],
        check=True,
    )
    times = [frame.time_s for frame in read_all(open_path(uneven))]
    assert times == pytest.approx([n / 10 if n < 10 else 1 + (n - 10) / 2 for n in range(20)], abs=0.002)


def test_raw_stream_without_time_stamps_gets_a_timeline(
    tmp_path: Path, make_video: MakeVideo, ffmpeg: str
) -> None:
    raw = tmp_path / "raw.m4v"
    subprocess.run([ffmpeg, "-v", "error", "-i", make_video(), "-c:v", "mpeg4", "-f", "m4v", raw], check=True)
    times = [frame.time_s for frame in read_all(open_path(raw))]
    assert len(times) == 50
    assert np.all(np.diff(times) > 0)


@pytest.mark.parametrize("name", ["video.mp4", "video.avi", "video.mkv"])
def test_file_cut_off_hands_over_what_it_has_then_says_where(
    make_video: MakeVideo, tmp_path: Path, ffmpeg: str, name: str
) -> None:
    whole = tmp_path / f"whole{Path(name).suffix}"
    index_first = ["-movflags", "+faststart"] if name == "video.mp4" else []
    copy = [ffmpeg, "-v", "error", "-i", make_video(name), "-c", "copy", *index_first, whole]
    subprocess.run(copy, check=True)
    content = whole.read_bytes()
    cut = tmp_path / f"cut{Path(name).suffix}"
    cut.write_bytes(content[: len(content) * 6 // 10])
    source = open_path(cut)
    frames: list[Frame] = []
    with pytest.raises(SourceError) as caught:
        while (frame := source.read()) is not None:
            frames.append(frame)
    source.close()
    assert 5 < len(frames) < 45
    text = str(caught.value)
    assert text.startswith(f"{cut}: expected 50 frames, got {len(frames)} up to {frames[-1].time_s:.1f} s")
    assert "bytes shorter than it says" in text
    assert "\n" not in text


def test_mp4_without_its_index_is_refused_when_opened(make_video: MakeVideo, tmp_path: Path) -> None:
    content = make_video().read_bytes()
    cut = tmp_path / "cut.mp4"
    cut.write_bytes(content[: len(content) // 2])
    with pytest.raises(SourceError, match=r"without its index \(moov\); the recording or the copy broke off"):
        open_path(cut)


def test_damage_to_the_end_is_an_error_although_all_bytes_are_there(
    shared_data: Path, tmp_path: Path
) -> None:
    content = bytearray((shared_data / "video" / "one-by-one-person-detection.mp4").read_bytes())
    half = len(content) // 2
    content[half:] = bytes(len(content) - half)
    damaged = tmp_path / "damaged.mp4"
    damaged.write_bytes(content)
    with pytest.raises(SourceError, match=r"expected 1394 frames, got \d{3} up to \d\d\.\d s"):
        read_all(open_path(damaged))


def test_damage_in_the_middle_costs_only_the_damaged_frames(
    shared_data: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    content = bytearray((shared_data / "video" / "one-by-one-person-detection.mp4").read_bytes())
    half = len(content) // 2
    content[half : half + 200_000] = bytes(200_000)
    damaged = tmp_path / "damaged.mp4"
    damaged.write_bytes(content)
    with caplog.at_level(logging.WARNING):
        frames = read_all(open_path(damaged))
    assert 1200 < len(frames) < 1394
    assert frames[-1].time_s == pytest.approx(139.3, abs=0.05)
    times = [frame.time_s for frame in frames]
    assert np.all(np.diff(times) > 0)
    assert f"{1394 - len(frames)} of 1394 frames" in caplog.text


def test_clip_cut_without_recoding_is_no_damage(shared_data: Path, tmp_path: Path, ffmpeg: str) -> None:
    clip = tmp_path / "clip.mp4"
    video = shared_data / "video" / "one-by-one-person-detection.mp4"
    subprocess.run(
        [ffmpeg, "-v", "error", "-ss", "12.3", "-t", "20", "-i", video, "-c", "copy", clip], check=True
    )
    frames = read_all(open_path(clip))
    assert 195 <= len(frames) <= 205
    assert frames[0].time_s == 0.0


@pytest.mark.parametrize(
    ("name", "frames", "fps", "size"),
    [
        ("pets09_s2l1/vtest_480x360.mp4", 795, 10.0, (480, 360)),
        ("video/car-detection.mp4", 377, 12.5, (768, 432)),
        ("video/one-by-one-person-detection.mp4", 1394, 10.0, (768, 432)),
    ],
)
def test_real_video_is_read_to_its_last_frame(
    shared_data: Path, name: str, frames: int, fps: float, size: tuple[int, int]
) -> None:
    source = open_path(shared_data / name)
    assert (source.frame_count, source.fps) == (frames, fps)
    read = read_all(source)
    assert len(read) == frames
    assert {frame.size for frame in read} == {size}
    assert [frame.time_s for frame in read] == pytest.approx(
        [index / fps for index in range(frames)], abs=1e-6
    )


@pytest.mark.parametrize(
    ("content", "got"),
    [
        (cv2.imencode(".png", np.zeros((8, 8, 3), np.uint8))[1].tobytes(), "got a picture"),
        (cv2.imencode(".jpg", np.zeros((8, 8, 3), np.uint8))[1].tobytes(), "got a picture"),
        (b"not a video, only text\n", "got a text file"),
        (b"", "got an empty file"),
        (bytes(range(256)) * 64, "got a file that FFmpeg cannot open"),
    ],
)
def test_file_that_is_no_video_gets_one_line(tmp_path: Path, content: bytes, got: str) -> None:
    path = tmp_path / "clip.mp4"
    path.write_bytes(content)
    with pytest.raises(SourceError) as caught:
        open_path(path)
    assert got in str(caught.value)
    assert "\n" not in str(caught.value)
    assert caught.value.exit_code == 66


def test_file_with_sound_only_says_that_it_has_no_video(tmp_path: Path, ffmpeg: str) -> None:
    sound, video, both = (tmp_path / name for name in ("sound.mp4", "video.mp4", "both.mp4"))
    make = [ffmpeg, "-v", "error", "-f", "lavfi", "-i"]
    subprocess.run([*make, "sine=duration=1", "-c:a", "aac", sound], check=True)
    subprocess.run([*make, "testsrc=duration=1:size=64x48:rate=10", "-c:v", "mpeg4", video], check=True)
    with pytest.raises(SourceError, match=r"sound\.mp4: expected a video, got sound without any"):
        open_path(sound)
    words = ["-i", sound, "-i", video, "-map", "0", "-map", "1", "-c", "copy", both]
    subprocess.run([ffmpeg, "-v", "error", *words], check=True)
    assert len(read_all(open_path(both))) == 10


def test_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(SourceError, match=r"nothere\.mp4: expected a video file, got: No such file"):
        open_path(tmp_path / "nothere.mp4")


def test_damaged_files_write_nothing_to_stderr(make_video: MakeVideo, tmp_path: Path) -> None:
    content = bytearray(make_video("video.avi").read_bytes())
    content[len(content) // 3 : len(content) // 2] = os.urandom(len(content) // 2 - len(content) // 3)
    damaged, garbage = tmp_path / "damaged.avi", tmp_path / "garbage.mp4"
    damaged.write_bytes(content)
    garbage.write_bytes(bytes(range(256)) * 64)
    code = (
        "import sys\nfrom agent.capture.settings import SourceSettings\n"
        "from agent.capture.source import open_source\nfrom agent.errors import SourceError\n"
        "for path in sys.argv[1:]:\n    try:\n        source = open_source(SourceSettings(source=path))\n"
        "        while source.read() is not None: pass\n"
        "    except SourceError as error: print('ONE LINE', error)\n"
    )
    environment = {name: value for name, value in os.environ.items() if not name.startswith("OPENCV")}
    result = subprocess.run(
        [sys.executable, "-c", code, damaged, garbage],
        cwd=ROOT,
        env=environment,
        capture_output=True,
        text=True,
        check=True,
    )
    assert result.stderr == ""
    assert "ONE LINE" in result.stdout


@pytest.mark.parametrize("name", ["video.mp4", "video.avi", "video.mkv"])
@pytest.mark.parametrize("lacking", [0, 1, 100])
def test_container_tells_how_many_bytes_are_missing(make_video: MakeVideo, name: str, lacking: int) -> None:
    path = make_video(name)
    content = path.read_bytes()
    path.write_bytes(content[: len(content) - lacking])
    assert inspect_container(path).missing_bytes == lacking


def test_container_of_any_bytes_is_told_without_an_error(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    path = tmp_path / "x"
    heads = [
        b"",
        b"\0\0\0\x08moov",
        b"\0\0\0\x01mdat",
        b"RIFF\0\0\0\0AVI ",
        b"\x1a\x45\xdf\xa3\x18\x53\x80\x67",
        b"\0\0\0\x20moov\0\0\0\x18mvhd",
    ]
    for number in range(300):
        path.write_bytes(heads[number % len(heads)] + rng.bytes(int(rng.integers(0, 60))))
        assert inspect_container(path).missing_bytes >= 0
