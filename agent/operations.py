"""What the device is asked to do over MQTT, and what it tells of itself beside the alerts."""

from __future__ import annotations

import json
import logging
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import wait
from contextlib import contextmanager, suppress
from functools import partial
from pathlib import Path
from typing import Any, TypeVar

from ulid import ULID

from agent.alerts.commands import (
    Command,
    Pause,
    Reload,
    ResetCounts,
    Resume,
    SetArmed,
    SetMinScore,
    Snapshot,
    TestAlert,
)
from agent.alerts.home_assistant import CameraEntities
from agent.alerts.leftovers import ASKED_FOR
from agent.alerts.publisher import AlertPublisher
from agent.camera_status import PAUSED
from agent.capture.status import SourceState
from agent.config import CameraSettings
from agent.errors import DataError, EdgetrackError
from agent.health import CameraMeter
from agent.pipeline import CameraPipeline
from agent.records import Alert, Phase
from agent.rules.engine import RuleEngine

log = logging.getLogger("edgetrack")
T = TypeVar("T")

_PERIOD_S = 1.0  # how soon a changed count is told
_HEALTH_S = 60.0
_SAVE_S = 60.0  # how often changed counts go to the disk, for the sake of SD cards

_KINDS: Mapping[str, tuple[str, ...]] = {"tripwire": ("cross",)}


class Operations:
    """Carries out commands, publishes counts, armed rules and health, and keeps rule state over restarts.

    Args:
        publisher: of the device.
        pipelines: of all cameras; whose state of rules is kept if they are live. A file begins anew.
        settings: of the same cameras.
        state_path: JSON file for the state of the rules.
        reload: checks and takes the configuration anew; None where that is not possible.
        set_state: publishes the state that a camera is given by a command.
        answer_s: for how long a camera may be at one frame before it counts as one that does not answer.
    """

    def __init__(
        self,
        publisher: AlertPublisher,
        pipelines: Mapping[str, CameraPipeline],
        settings: Mapping[str, CameraSettings],
        state_path: Path,
        reload: Callable[[], None] | None = None,
        set_state: Callable[[str, str], None] = lambda camera, state: None,
        *,
        answer_s: float = 5.0,
    ) -> None:
        self._publisher = publisher
        self._pipelines = pipelines
        self._settings = settings
        self._state_path = state_path
        self._reload = reload
        self._set_state = set_state
        self._meter = CameraMeter(pipelines)
        self._answer_s = answer_s
        self._silent: set[str] = set()
        """Cameras that do not answer, and were complained of."""
        self._complained: str | None = None
        self._save_lock = threading.Lock()
        """The threads of commands and of `running` both save."""
        self._states: dict[str, Any] = {}
        """The last known state of each camera's rules."""
        self._saved = ""
        self._health_due_s = self._save_due_s = 0.0
        self._actions: Mapping[type[Command], Callable[[Any], Mapping[str, Any] | None]] = {
            SetArmed: self._set_armed,
            ResetCounts: self._reset_counts,
            SetMinScore: self._set_min_score,
            Pause: lambda command: self._pause(command.camera, True),
            Resume: lambda command: self._pause(command.camera, False),
            Snapshot: self._snapshot,
            TestAlert: self._test_alert,
            Reload: self._take_configuration,
        }

    def prepare(self) -> None:
        """Restore the rules' state and describe the cameras; before the publisher and the cameras start."""
        self._restore()
        self._publisher.on_command(self.act)
        self._publisher.describe_cameras(
            {name: _entities(camera, self._pipelines[name].rules) for name, camera in self._settings.items()}
        )

    @contextmanager
    def running(self) -> Iterator[None]:
        """Publish and save for as long as the block lasts, and once more at its end."""
        done = threading.Event()

        def work() -> None:
            while not done.wait(_PERIOD_S):
                self._try_tick()

        self._try_tick()
        thread = threading.Thread(target=work, name="edgetrack-operations", daemon=True)
        thread.start()
        try:
            yield
        finally:
            done.set()
            thread.join(5.0)
            self._save_due_s = 0.0
            self._try_tick()

    def _try_tick(self) -> None:
        """`tick`, whose faults are logged, not again and again; the next one is tried all the same."""
        try:
            self.tick()
        except Exception as error:  # reported; counts, health and states must go on
            problem = f"counts and health: {type(error).__name__}: {error}"
            if problem != self._complained:
                self._complained = problem
                log.warning("%s", problem, exc_info=not isinstance(error, EdgetrackError))
        else:
            self._complained = None

    def tick(self) -> None:
        """Publish what has changed, and what is due; a camera that does not answer is logged and left out."""
        answering = []
        for name, pipeline in self._pipelines.items():
            try:
                self._publish_rules(pipeline)
            except EdgetrackError as error:
                if name not in self._silent:
                    log.warning("%s; its counts are told when it does", error)
                self._silent.add(name)
            else:
                self._silent.discard(name)
                answering.append(pipeline)
        now_s = time.monotonic()
        if now_s >= self._health_due_s:
            self._publisher.publish_health(self._meter.measure())
            self._health_due_s = now_s + _HEALTH_S
        if now_s >= self._save_due_s:
            self._save(answering)
            self._save_due_s = now_s + _SAVE_S

    def _publish_rules(self, pipeline: CameraPipeline) -> None:
        camera = pipeline.summary.camera
        self._publisher.publish_counts(camera, pipeline.call(pipeline.rules.counts, self._answer_s))
        self._publisher.publish_armed(camera, pipeline.rules.armed)

    def act(self, command: Command) -> Mapping[str, Any] | None:
        """Carry out a command.

        Raises:
            EdgetrackError: it cannot be; nothing has changed.
        """
        action = self._actions.get(type(command))
        if action is None:
            raise EdgetrackError(
                command.name, "expected a command that this device has, got one that it has not"
            )
        return action(command)

    def _cameras(self, name: str | None) -> list[CameraPipeline]:
        if name is None:
            return list(self._pipelines.values())
        if name not in self._pipelines:
            raise EdgetrackError("camera", f"expected one of {', '.join(self._pipelines)}, got {name}")
        return [self._pipelines[name]]

    def _set_armed(self, command: SetArmed) -> Mapping[str, Any]:
        chosen = [
            pipeline
            for pipeline in self._cameras(command.camera)
            if command.rule is None or command.rule in pipeline.rules.armed
        ]
        if not chosen:
            rules = {rule for pipeline in self._cameras(command.camera) for rule in pipeline.rules.armed}
            raise EdgetrackError("rule", f"expected one of {', '.join(sorted(rules))}, got {command.rule}")
        pending = self._change(chosen, lambda rules: rules.set_armed(command.armed, command.rule))
        done = [pipeline for pipeline in chosen if pipeline.summary.camera not in pending.get("pending", ())]
        self._save(done)
        return {pipeline.summary.camera: dict(pipeline.rules.armed) for pipeline in done} | pending

    def _reset_counts(self, command: ResetCounts) -> Mapping[str, Any]:
        cameras = self._cameras(command.camera)
        places = {
            place
            for pipeline in cameras
            for camera in (self._settings[pipeline.summary.camera],)
            for place in (*camera.zones, *camera.tripwires)
        }
        if command.place is not None and command.place not in places:
            raise EdgetrackError("place", f"expected one of {', '.join(sorted(places))}, got {command.place}")
        return self._change(cameras, lambda rules: rules.reset_counts(command.place))

    def _change(self, cameras: list[CameraPipeline], change: Callable[[RuleEngine], None]) -> dict[str, Any]:
        """Change the rules of all these cameras, or of none, and publish them.

        Returns:
            `pending`, where cameras have stopped answering meanwhile: these change before their next frame.

        Raises:
            EdgetrackError: one of them does not answer.
        """
        late: list[str] = []
        if len(cameras) == 1:
            cameras[0].call(partial(change, cameras[0].rules), self._answer_s)
        else:
            for camera in cameras:
                camera.call(lambda: None, self._answer_s)
            changes = {it.summary.camera: it.post(partial(change, it.rules)) for it in cameras}
            for done in wait(changes.values(), self._answer_s).done:
                done.result()
            late = [name for name, future in changes.items() if not future.done()]
        for camera in cameras:
            if camera.summary.camera not in late:
                with suppress(EdgetrackError):  # it is changed; the next tick tells of it
                    self._publish_rules(camera)
        return {"pending": late} if late else {}

    def _set_min_score(self, command: SetMinScore) -> Mapping[str, Any]:
        (pipeline,) = self._cameras(command.camera)
        pipeline.min_score = command.min_score
        return {"camera": command.camera, "min_score": command.min_score}

    def _pause(self, camera: str, paused: bool) -> None:
        (pipeline,) = self._cameras(camera)
        pipeline.paused = paused
        self._set_state(camera, PAUSED if paused else SourceState.ONLINE)
        self._save([pipeline])

    def _snapshot(self, command: Snapshot) -> Mapping[str, Any]:
        (pipeline,) = self._cameras(command.camera)
        picture = pipeline.call(pipeline.picture_of_now, self._answer_s)
        return self._publisher.publish_snapshot(command.camera, ASKED_FOR, picture).model_dump()

    def _test_alert(self, command: TestAlert) -> Mapping[str, Any]:
        self._cameras(command.camera)
        now_s = time.monotonic()
        alert = Alert("test", "test", Phase.INSTANT, str(ULID()), now_s, time.time(), (1, 1), now_s)
        return {"id": self._publisher.publish(alert, command.camera)}

    def _take_configuration(self, _: Reload) -> None:
        if self._reload is None:
            raise EdgetrackError("reload", "expected a run from a configuration file, got none")
        self._reload()

    def _restore(self) -> None:
        try:
            saved = json.loads(self._state_path.read_text(encoding="utf-8"))
        except FileNotFoundError:
            return
        except (OSError, ValueError) as error:
            log.warning(
                "%s: expected the state of the rules, got %s; counts begin anew", self._state_path, error
            )
            return
        for name, pipeline in self._pipelines.items():
            state = saved.get(name) if isinstance(saved, dict) else None
            if self._settings[name].live and isinstance(state, dict):
                try:
                    pipeline.rules.import_state(state)
                    self._states[name] = state
                    pipeline.paused = state.get("paused") is True
                    if pipeline.paused:
                        log.warning("camera %s: paused by a command; `resume` looks again", name)
                except DataError as error:
                    log.warning("%s camera %s: %s; it begins anew", self._state_path, name, error)

    def _save(self, pipelines: list[CameraPipeline]) -> None:
        """Take the state of these cameras' rules, and write all that is known where it has changed."""
        with self._save_lock:
            for pipeline in pipelines:
                name = pipeline.summary.camera
                if self._settings[name].live:
                    with suppress(EdgetrackError):  # what was known of it is kept
                        state = pipeline.call(pipeline.rules.export_state, self._answer_s)
                        self._states[name] = {**state, "paused": True} if pipeline.paused else state
            self._write(json.dumps(self._states, separators=(",", ":")))

    def _write(self, text: str) -> None:
        """Write the file whole or not at all."""
        if not self._states or text == self._saved:
            return
        unfinished = self._state_path.with_suffix(".partial")
        try:
            unfinished.write_text(text, encoding="utf-8")
            unfinished.replace(self._state_path)
        except OSError as error:
            log.warning("%s: expected to keep the rules' state, got %s", self._state_path, error.strerror)
        else:
            self._saved = text


def _entities(camera: CameraSettings, rules: RuleEngine) -> CameraEntities:
    kinds: set[str] = set()
    for rule in camera.rules:
        kinds.update(getattr(rule, "when", ()) or _KINDS.get(rule.kind, (rule.kind,)))
    return CameraEntities(
        zones=tuple(camera.zones),
        tripwires=tuple(camera.tripwires),
        rules=tuple(rules.names),
        snapshots=tuple(name for name, rule in zip(rules.names, camera.rules, strict=True) if rule.snapshot),
        kinds=tuple(sorted(kinds)),
    )
