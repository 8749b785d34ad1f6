"""What a motion model learns from, chooses its weights by and is measured on: generated and recorded."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from agent.errors import ConfigError, DataError
from agent.records import FloatArray
from models.motion.examples import Examples, joined
from models.motion.recordings import RecordedMotion, read_motion, recordings_in
from models.motion.trajectories import make_examples
from models.training.motion_settings import MotionTraining

MIN_TRAIN, MIN_HELD_OUT = 200, 50
"""Moments of recorded tracks below which nothing is learnt, or said, of them."""
_LEARN_FROM = 0.75
_CHOOSE_BY = 10
"""One in so many examples, or recorded tracks, is kept to choose the weights by."""


@dataclass(frozen=True, slots=True, eq=False)
class MotionData:
    """All examples of a training.

    Args:
        generated, recorded: to learn from; none may be recorded.
        choose_generated, choose_recorded: to choose the weights by.
        held_out: by name, to measure on; of other trajectories, and of other recordings or a later time.
        recordings: that were read.
    """

    generated: Examples
    recorded: Examples
    choose_generated: Examples
    choose_recorded: Examples
    held_out: dict[str, Examples]
    recordings: list[RecordedMotion]

    def steps(self, settings: MotionTraining) -> int:
        """Batches of an epoch.

        Raises:
            ConfigError: there is not enough for one.
        """
        steps = self._count(settings) // settings.batch_size
        if not steps:
            problem = f"expected {self._count(settings)} or less, as many examples there are"
            raise ConfigError("batch_size", f"{problem}, got {settings.batch_size}")
        return steps

    def _count(self, settings: MotionTraining) -> int:
        return len(self.generated) + settings.repeat * len(self.recorded)

    def batches(self, settings: MotionTraining, epoch: int) -> Iterator[tuple[FloatArray, FloatArray]]:
        """Everything in random order, half of it mirrored; seed and epoch decide everything.

        Returns:
            (B, STEPS, 1, FEATURES) and (B, horizons, 2), as the network takes them.
        """
        rng = np.random.default_rng([settings.seed, epoch])
        everything = joined([self.generated, self.recorded])
        known = len(self.generated) + len(self.recorded)
        order = rng.permutation(self._count(settings))
        order = np.where(
            order < known, order, len(self.generated) + (order - known) % max(len(self.recorded), 1)
        )
        for start in range(0, len(order) - settings.batch_size + 1, settings.batch_size):
            batch = everything[order[start : start + settings.batch_size]]
            batch = batch.mirrored(rng.random(len(batch)) < 0.5)
            yield batch.features[:, :, None], batch.corrections


def load_motion_data(
    settings: MotionTraining, on_recording: Callable[[str, int], None] | None = None
) -> MotionData:
    """Generate trajectories, and read recordings where there are some.

    Args:
        settings: how many, and where.
        on_recording: told before each recording its name, and how many there are.

    Raises:
        DataError: a recording is none, or damaged; or they hold too little.
    """
    recorded = choose = joined([])
    held_out: dict[str, Examples] = {}
    recordings: list[RecordedMotion] = []
    if settings.recordings is not None:
        learn_from, further = _read(settings, on_recording)
        recorded, choose, held_out["recorded"] = _shared_out(learn_from, further)
        _check_amount("to learn from", settings.recordings, recorded, MIN_TRAIN, learn_from)
        place = settings.held_out or settings.recordings
        _check_amount("held out", place, held_out["recorded"], MIN_HELD_OUT, further or learn_from)
        recordings = learn_from + further
    made = make_examples(np.random.default_rng(settings.seed), settings.examples)
    other = make_examples(np.random.default_rng([settings.seed, 1]), max(settings.examples // 10, 1000))
    chosen = np.random.default_rng([settings.seed, 2]).permutation(len(made)) % _CHOOSE_BY == 0
    held_out = {"generated": other, **held_out}
    return MotionData(made[~chosen], recorded, made[chosen], choose, held_out, recordings)


def _read(
    settings: MotionTraining, on_recording: Callable[[str, int], None] | None
) -> tuple[list[RecordedMotion], list[RecordedMotion]]:
    """Those to learn from, and those to measure on if they are others."""
    places = [place for place in (settings.recordings, settings.held_out) if place is not None]
    paths = [recordings_in(place) for place in places]
    again = {path.resolve() for path in paths[0]} & {path.resolve() for part in paths[1:] for path in part}
    if again:
        problem = f"expected other recordings than those to learn from, got {min(again).name} again"
        raise DataError("held_out", problem, "leave held_out away to measure on the later part of each")
    rng = np.random.default_rng([settings.seed, 3])
    total = sum(map(len, paths))

    def read(path: Path) -> RecordedMotion:
        if on_recording is not None:
            on_recording(path.name, total)
        return read_motion(path, rng)

    parts = [[read(path) for path in part] for part in paths]
    return parts[0], parts[1] if len(parts) > 1 else []


def _shared_out(
    recordings: list[RecordedMotion], others: list[RecordedMotion]
) -> tuple[Examples, Examples, Examples]:
    """To learn from, to choose the weights by, and held out."""
    learn, choose, held = [], [], [other.examples for other in others]
    for one in recordings:
        until_s = one.end_s
        if not others:
            until_s = one.start_s + _LEARN_FROM * (one.end_s - one.start_s)
            held.append(one.after(until_s))
        apart = one.tracks % _CHOOSE_BY == 0
        learn.append(one.only(~apart).before(until_s))
        choose.append(one.only(apart).before(until_s))
    return joined(learn), joined(choose), joined(held)


def _check_amount(
    what: str, place: Path, part: Examples, least: int, recordings: list[RecordedMotion]
) -> None:
    """Refuse what is too little to learn from, or to say anything of."""
    if len(part) >= least:
        return
    minutes = sum(one.end_s - one.start_s for one in recordings) / 60
    tracks = sum(len(np.unique(one.tracks)) for one in recordings)
    problem = (
        f"expected {least} moments of tracks or more {what}, got {len(part)} "
        f"({tracks} tracks in {minutes:.1f} min of {len(recordings)} recordings)"
    )
    raise DataError(str(place), problem, "record for longer, or where more moves")
