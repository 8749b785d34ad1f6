"""A short version of tests/faults/camera_faults.py."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from tests.faults.camera_faults import figures, run
from tests.faults.camera_pictures import clip


def test_every_fault_of_a_camera_is_told_in_its_time_and_mended_by_itself(shared_data: Path) -> None:
    pictures = clip(shared_data / "pets09_s2l1" / "vtest_480x360.mp4", 40)
    plans = [
        ["black", "hand over the lens", "hung", "other size", "lost"],
        ["blur 6 px", "turned by 15 degrees", "noise only", "frozen", "other format"],
    ]
    with ThreadPoolExecutor(2) as pool:
        parts = pool.map(lambda item: run(pictures, item[1], item[0]), enumerate(plans))
        rows, bad = figures([outcome for part in parts for outcome in part])
    assert len(rows) == 10
    assert not bad, rows
