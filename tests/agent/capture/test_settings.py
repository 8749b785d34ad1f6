from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from pydantic import ValidationError

from agent.capture.settings import SourceSettings

ROOT = Path(__file__).resolve().parents[3]


@pytest.mark.parametrize(
    ("source", "kind"),
    [
        (0, "v4l2"),
        ("2", "v4l2"),
        ("/dev/video0", "v4l2"),
        ("/dev/v4l/by-id/usb-cam", "v4l2"),
        ("rtsp://cam/1", "stream"),
        ("HTTP://cam/video", "stream"),
        ("picamera", "picamera"),
        ("picamera:1", "picamera"),
        ("clips/yard.mp4", "path"),
        ("./picamera.mp4", "path"),
        ("clips", "path"),
    ],
)
def test_text_of_source_decides_kind_and_liveness(source: Any, kind: str) -> None:
    settings = SourceSettings(source=source)
    assert settings.kind == kind
    assert settings.live == (kind != "path")


@pytest.mark.parametrize(
    "source", ["", "  ", -1, "-1", True, 1.5, None, "file:///x.mp4", "ftp://u:pw@h/x", "picamera:x"]
)
def test_source_that_nothing_can_read_is_refused(source: Any) -> None:
    with pytest.raises(ValidationError) as caught:
        SourceSettings(source=source)
    assert caught.value.errors()[0]["loc"] == ("source",)
    if caught.value.errors()[0]["type"] == "value_error":
        assert "u:pw" not in str(caught.value.errors()[0]["ctx"]["error"])


@pytest.mark.parametrize(
    ("keys", "named"),
    [
        ({"reconnect_min_s": 40.0}, "reconnect_max_s"),
        ({"fps": 0.1}, "stale_after_s"),
        ({"rotation": 45}, "rotation"),
        ({"width": 8}, "width"),
        ({"fps": 0}, "fps"),
        ({"stale_after_s": 0}, "stale_after_s"),
    ],
)
def test_setting_that_cannot_work_is_refused_by_name(keys: dict[str, Any], named: str) -> None:
    with pytest.raises(ValidationError, match=named):
        SourceSettings(source="rtsp://cam/1", **keys)


def test_slow_timeline_of_a_folder_is_no_stale_camera() -> None:
    assert SourceSettings(source="folder", fps=0.1).fps == 0.1


def test_repr_shows_no_password() -> None:
    settings = SourceSettings(source="rtsp://admin:hunter2@cam/1")
    assert "hunter2" not in repr(settings) + str(settings) + settings.shown_source


def test_settings_import_neither_numpy_nor_opencv() -> None:
    code = "import sys, agent.capture.settings; print(sorted({'numpy', 'cv2', 'scipy'} & set(sys.modules)))"
    result = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True
    )
    assert result.stdout.strip() == "[]"
