"""Every camera in a thread of its own, for as long as what they share is open."""

from __future__ import annotations

import logging
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

from agent.errors import EdgetrackError
from agent.pipeline import CameraPipeline

log = logging.getLogger("edgetrack")
_SIGNALS_S = 0.5
"""How often the main thread looks for signals that another thread got: nothing wakes it for those."""


class CameraThreads:
    """Threads of which one that fails stops all.

    Args:
        pipelines: one for each thread.
        stop: ends them all.
    """

    def __init__(self, pipelines: Sequence[CameraPipeline], stop: threading.Event) -> None:
        self.errors: list[EdgetrackError] = []
        """What cameras failed with."""
        self._stop = stop
        self.threads = [
            threading.Thread(target=self._run, args=(pipeline,), name=pipeline.summary.camera)
            for pipeline in pipelines
        ]

    @contextmanager
    def running(self) -> Iterator[None]:
        """Start them. Should the block fail, they end before it does: what they use is closed next."""
        try:
            for thread in self.threads:
                thread.start()
            yield
        except BaseException:
            self._stop.set()
            self.join()
            raise

    def join(self) -> None:
        """Wait until all that were started have ended; in the main thread, handle signals meanwhile.

        The kernel may give a signal to any thread, as it does with one that came while the process was
        stopped; Python handles it when the main thread next runs.
        """
        for thread in self.threads:
            while thread.is_alive():
                thread.join(_SIGNALS_S)

    def _run(self, pipeline: CameraPipeline) -> None:
        try:
            pipeline.run(self._stop)
        except EdgetrackError as error:
            self.errors.append(error)
            self._stop.set()
        except Exception as error:
            # A fault of ours: without this camera the agent would be blind and not say so.
            name = pipeline.summary.camera
            log.exception("camera %s: an unexpected fault", name)
            self.errors.append(EdgetrackError(f"camera {name}", f"{type(error).__name__}: {error}"))
            self._stop.set()
