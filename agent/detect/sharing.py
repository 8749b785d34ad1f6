"""One loaded model for all cameras that name it, served in the order in which they ask."""

from __future__ import annotations

import threading
from collections import deque
from dataclasses import dataclass, field
from types import TracebackType
from typing import TypeAlias

from agent.detect.device_status import DeviceStatus, OnDevice
from agent.detect.runner import Runner, open_runner
from agent.detect.settings import DetectorSettings

Key: TypeAlias = tuple[object, ...]


class FairLock:
    """A lock that goes to whoever has waited longest; `threading.Lock` promises no order.

    Whoever gives it back hands it to the next in line and queues behind the others for its next turn, so a
    camera waits for at most one turn of each other one, however fast those ask. One that asks for nothing,
    since its source stalls or brings a picture a second, holds up nobody.
    """

    def __init__(self) -> None:
        self._state = threading.Lock()
        """Guards the two below."""
        self._held = False
        self._waiting: deque[threading.Lock] = deque()

    def __enter__(self) -> None:
        with self._state:
            if not self._held:
                self._held = True
                return
            place = threading.Lock()
            place.acquire()
            self._waiting.append(place)
        place.acquire()  # until the one before gives it free

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        with self._state:
            if self._waiting:
                self._waiting.popleft().release()
            else:
                self._held = False


@dataclass(slots=True)
class _Loaded:
    """A model and who uses it."""

    runner: Runner | None = None
    turn: FairLock = field(default_factory=FairLock)
    uses: list[ModelUse] = field(default_factory=list)


class ModelUse:
    """One camera's use of a model that others may use too.

    Args:
        pool: that it came from.
        loaded: the model.
        on_device: told of the device's changes.
    """

    def __init__(self, pool: ModelPool, loaded: _Loaded, on_device: OnDevice | None) -> None:
        self._pool = pool
        self._loaded = loaded
        self.on_device = on_device

    @property
    def runner(self) -> Runner:
        """The model; touch it only while `turn` is held."""
        if self._loaded.runner is None:
            raise RuntimeError("the model was closed by its last user")
        return self._loaded.runner

    @property
    def turn(self) -> FairLock:
        """Held from writing the inputs to reading the outputs."""
        return self._loaded.turn

    def keep_alone(self) -> None:
        """Share the model with no further camera, since it remembers what it saw."""
        self._pool.forget(self._loaded)

    def close(self) -> None:
        """Give it back; the last user closes the model. A second call does nothing."""
        self._pool.give_back(self, self._loaded)


class ModelPool:
    """The models of one agent: cameras that name the same file, device and threads get the same one.

    Args:
        on_device: told once of each change of a device, before the cameras that use it. Without it and
            without a camera that listens, changes are logged.
    """

    def __init__(self, on_device: OnDevice | None = None) -> None:
        self._on_device = on_device
        self._models: dict[Key, _Loaded] = {}
        self._lock = threading.RLock()
        """Held while users change or are told, so that all hear the same reports in the same order."""

    def open(self, settings: DetectorSettings, on_device: OnDevice | None = None) -> ModelUse:
        """Use the model that the settings name; it is loaded when nobody uses it yet.

        Args:
            settings: of kind tflite.
            on_device: told of the device's state now, and of each change.

        Raises:
            ModelError: as `open_runner`.
        """
        key = (
            settings.model,
            settings.runtime,
            settings.device,
            settings.threads,
            settings.isolate,
            settings.deadline_s,
        )
        with self._lock:
            loaded = self._models.get(key)
            if loaded is not None:
                use = ModelUse(self, loaded, on_device)
                loaded.uses.append(use)
                if on_device is not None and use.runner.status is not None:
                    on_device(use.runner.status)
                return use
        loaded = _Loaded()
        use = ModelUse(self, loaded, on_device)
        loaded.uses.append(use)
        listens = on_device is not None or self._on_device is not None
        loaded.runner = open_runner(
            settings, (lambda status: self._tell(loaded, status)) if listens else None
        )
        with self._lock:
            self._models[key] = loaded
        return use

    def forget(self, loaded: _Loaded) -> None:
        """Let no further camera use a model."""
        with self._lock:
            self._models = {key: other for key, other in self._models.items() if other is not loaded}

    def give_back(self, use: ModelUse, loaded: _Loaded) -> None:
        """End one camera's use."""
        with self._lock:
            if use not in loaded.uses:
                return
            loaded.uses.remove(use)
            if loaded.uses:
                return
            self.forget(loaded)
            runner = loaded.runner
        if runner is not None:
            runner.close()

    def _tell(self, loaded: _Loaded, status: DeviceStatus) -> None:
        with self._lock:
            if self._on_device is not None:
                self._on_device(status)
            for use in loaded.uses:
                if use.on_device is not None:
                    use.on_device(status)
