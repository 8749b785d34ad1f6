"""Cameras in threads of their own, and the signals that come meanwhile."""

from __future__ import annotations

import os
import signal
import sys
import threading

from agent.assembly import build_pipeline
from agent.camera_threads import CameraThreads
from agent.capture.looped import LoopedSource
from agent.capture.settings import SourceSettings
from agent.config import CameraSettings, make_section
from tests.conftest import ROOT, wait_until

CLIP = SourceSettings(source=str(ROOT / "agent" / "demo" / "street.mp4"))


def test_signal_that_another_thread_got_stops_the_cameras() -> None:
    """As the kernel may give it, after a stop of the process or beside another signal."""
    camera = make_section(CameraSettings, {"source": "/dev/video77", "detector": {"kind": "motion"}})
    pipeline = build_pipeline(
        "front", camera, publish=print, open_camera=lambda: LoopedSource(CLIP, paced=True)
    )
    stop, masked, in_time = threading.Event(), threading.Event(), list[bool]()
    threads = CameraThreads([pipeline], stop)

    def main_joins() -> bool:
        frame = sys._current_frames()[threading.main_thread().ident or 0]
        while frame.f_back is not None and frame.f_code is not threading.Thread.join.__code__:
            frame = frame.f_back
        return frame.f_code is threading.Thread.join.__code__

    def tell() -> None:
        masked.wait(60)
        wait_until(main_joins, 60, "the main thread waiting for the camera's")
        os.kill(os.getpid(), signal.SIGUSR1)
        in_time.append(stop.wait(20))
        stop.set()

    teller = threading.Thread(target=tell)
    before = signal.signal(signal.SIGUSR1, lambda *_: stop.set())
    try:
        with threads.running():
            teller.start()
            signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGUSR1})  # in this thread alone
            masked.set()
            threads.join()
    finally:
        stop.set()
        teller.join(60)
        signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGUSR1})
        signal.signal(signal.SIGUSR1, before)
        pipeline.reader.close()
    assert in_time == [True]
