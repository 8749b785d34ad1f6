from __future__ import annotations

from pathlib import Path

import pytest

from agent.capture.settings import SourceSettings
from agent.capture.source import open_source
from agent.errors import SourceError


def test_device_that_is_not_there_is_named() -> None:
    number = next(number for number in range(63, 0, -1) if not Path(f"/dev/video{number}").exists())
    with pytest.raises(
        SourceError, match=rf"/dev/video{number}: expected a camera, got no such device; there is"
    ):
        open_source(SourceSettings(source=number))  # type: ignore[arg-type]


def test_device_that_is_no_camera_is_refused_in_one_line() -> None:
    with pytest.raises(SourceError, match="/dev/null: expected a camera, got a device") as caught:
        open_source(SourceSettings(source="/dev/null"))
    assert "\n" not in str(caught.value)
