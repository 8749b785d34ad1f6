"""A live camera that is lost, or paused, for longer than anyone could be known again."""

from __future__ import annotations

import threading
from collections.abc import Callable

import pytest

from agent.assembly import blind_after_s, build_pipeline
from agent.capture.looped import LoopedSource
from agent.capture.settings import SourceSettings
from agent.config import CameraSettings, make_section
from agent.pipeline import CameraPipeline
from agent.records import Alert, Frame, Phase
from tests.conftest import ROOT, wait_until

CLIP = SourceSettings(source=str(ROOT / "agent" / "demo" / "street.mp4"))
WHOLE = [[0, 0], [1, 0], [1, 1], [0, 1]]


class Mute(LoopedSource):
    """A camera that gives nothing while `silent` is set."""

    silent = threading.Event()

    def read(self) -> Frame | None:
        frame = super().read()
        while self.silent.is_set() and not self._stopped.wait(0.05):
            pass
        return frame

    def __init__(self) -> None:
        super().__init__(CLIP, paced=True)
        self._stopped = threading.Event()

    def close(self) -> None:
        self._stopped.set()
        super().close()


def lose(pipeline: CameraPipeline) -> None:
    Mute.silent.set()


def pause(pipeline: CameraPipeline) -> None:
    pipeline.paused = True


@pytest.mark.parametrize("stop_seeing", [lose, pause])
def test_incidents_end_and_nobody_is_in_sight(stop_seeing: Callable[[CameraPipeline], None]) -> None:
    camera = make_section(
        CameraSettings,
        {
            "source": "/dev/video77",
            "detector": {"kind": "motion"},
            "zones": {"all": {"points": WHOLE}},
            "rules": [{"kind": "zone", "zone": "all", "when": ["inside"]}],
            "tracker": {"lost_s": 0.3},
            "rejoin_s": 0.4,
        },
    )
    assert blind_after_s(camera) == pytest.approx(0.7)
    alerts: list[Alert] = []
    pipeline = build_pipeline("front", camera, publish=alerts.append, open_camera=Mute)
    stop = threading.Event()
    thread = threading.Thread(target=pipeline.run, args=(stop,))
    thread.start()

    def open_incidents() -> set[str]:
        told = list(alerts)
        ended = {alert.incident for alert in told if alert.phase is Phase.END}
        return {alert.incident for alert in told if alert.phase is Phase.START} - ended

    try:
        wait_until(lambda: bool(open_incidents()) and pipeline.in_sight > 0, 60, "somebody in sight")
        stop_seeing(pipeline)
        wait_until(lambda: not open_incidents() and pipeline.in_sight == 0, 60, "the end of all incidents")
        assert any(alert.evidence.get("reason") == "blind" for alert in alerts)
        assert pipeline.call(pipeline.rules.counts, 60)["zones"]["all"]["now"] == {}
        Mute.silent.clear()
        pipeline.paused = False
        wait_until(lambda: bool(open_incidents()), 60, "a new incident")
    finally:
        Mute.silent.clear()
        stop.set()
        thread.join(60)
    assert not open_incidents()
