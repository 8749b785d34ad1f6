"""Generated trajectories: people who walk, turn, stop and start, as a detector sees them.

Nothing here is recorded: speeds and habits are drawn from ranges that hold for street scenes, in box heights
(a person who walks across the picture moves about 0.8 of its height in a second). The agent's Kalman filter
runs over the noisy positions, so that the model learns to correct that very filter.
"""

from __future__ import annotations

import numpy as np

from agent.track.kalman import BatchedKalman, Float64Array, P
from agent.track.motion_lstm import HORIZONS_S, TICK_S, MotionHistory
from agent.track.settings import TrackerSettings
from models.motion.examples import Examples, joined

_HEIGHT_PX = 100.0
_FPS = (30.0, 25.0, 15.0, 10.0, 7.0, 5.0)


def true_paths(rng: np.random.Generator, count: int, steps: int, dt_s: float) -> Float64Array:
    """(steps, 2, count) centres in box heights.

    Velocity is an Ornstein-Uhlenbeck process around a goal that changes now and then: another direction, a
    stop, a start. Directions are flattened, since a street is seen from the side more than from above.
    """
    flat = rng.uniform(0.02, 0.5, count)

    def goals(size: int, flatness: Float64Array) -> Float64Array:
        angle = rng.uniform(0, 2 * np.pi, size)
        speed = np.abs(rng.normal(0.55, 0.3, size)) * np.where(rng.random(size) < 0.25, 0.05, 1.0)
        return np.stack([speed * np.cos(angle), speed * np.sin(angle) * flatness])

    scale = np.exp(rng.normal(0, 0.25, count))
    goal = goals(count, flat) * scale
    velocity = goal * rng.uniform(0.7, 1.3, count)
    change_rate = rng.uniform(0.0, 0.5, count)  # changes of mind per second
    relax = rng.uniform(0.5, 3.0, count)  # 1 / s
    unrest = rng.uniform(0.02, 0.2, count)  # heights / s^1.5
    sway, gait = rng.uniform(0, 0.02, count), rng.uniform(1.5, 2.2, count) * 2 * np.pi
    phase = rng.uniform(0, 2 * np.pi, count)
    position = np.zeros((2, count))
    path = np.empty((steps, 2, count))
    for step in range(steps):
        changed = rng.random(count) < change_rate * dt_s
        if changed.any():
            goal[:, changed] = goals(int(changed.sum()), flat[changed]) * scale[changed]
        velocity += (goal - velocity) * (1 - np.exp(-relax * dt_s))
        velocity += unrest * np.sqrt(dt_s) * rng.normal(size=(2, count)) * np.stack([np.ones(count), flat])
        position = position + velocity * dt_s
        path[step] = position
        path[step, 1] += sway * np.sin(gait * step * dt_s + phase)
    return path


def make_examples(rng: np.random.Generator, count: int) -> Examples:
    """About `count` examples, a share for each frame rate, seen through a detector's errors.

    A detector strays (independently from frame to frame, and slowly, for some tenths of a second), misses,
    and the camera's movement is compensated with an error of its own.
    """
    settings = TrackerSettings()
    parts = [_at_frame_rate(rng, count // len(_FPS), fps, settings) for fps in _FPS]
    return joined(parts)


def _at_frame_rate(rng: np.random.Generator, count: int, fps: float, settings: TrackerSettings) -> Examples:
    dt_s = 1.0 / fps
    past_steps = int(rng.uniform(2.5, 3.5) * fps)
    future_steps = int(np.ceil(HORIZONS_S[-1] * fps)) + 1
    path = true_paths(rng, count, past_steps + future_steps, dt_s) * _HEIGHT_PX
    stray = _HEIGHT_PX * rng.uniform(0.003, 0.03, count)
    slow = _HEIGHT_PX * rng.uniform(0.005, 0.06, count)
    memory = np.exp(-dt_s / rng.uniform(0.1, 1.0, count))
    camera = _HEIGHT_PX * rng.uniform(0, 0.06, count) * (rng.random(count) < 0.5)
    missing = rng.uniform(0.0, 0.3, count)
    born = rng.integers(0, past_steps - int(0.5 * fps), count) * (rng.random(count) < 0.6)
    lost = past_steps - (rng.uniform(0.0, 2.0 * TICK_S, count) * fps).astype(np.int64)

    kalman = BatchedKalman(
        (settings.position_noise, settings.size_noise),
        (settings.acceleration_noise, settings.size_acceleration_noise),
        settings.initial_speed,
    )
    history = MotionHistory()
    history.grow(count)
    bias = slow * rng.normal(size=(2, count))
    drift = np.zeros((2, count))
    size = np.full((2, count), _HEIGHT_PX) * np.array([[0.4], [1.0]])
    state = kalman.start(np.concatenate((path[0], size)))
    started = np.zeros(count, np.bool_)
    seen = np.ones(count, np.bool_)
    for step in range(past_steps):
        bias = memory * bias + slow * np.sqrt(1 - memory**2) * rng.normal(size=(2, count))
        drift += camera * np.sqrt(dt_s) * rng.normal(size=(2, count))
        z = np.concatenate((path[step] + bias + drift + stray * rng.normal(size=(2, count)), size))
        damped = kalman.predict(state, dt_s, settings.lost_damping_s)
        state = np.where(seen, kalman.predict(state, dt_s), damped)
        seen = (step >= born) & (rng.random(count) >= missing) & (step < lost)
        first = seen & ~started
        state[:, :, first] = kalman.start(z[:, first])
        started |= first
        rows = (seen & ~first).nonzero()[0]
        state[:, :, rows] = kalman.update(state[:, :, rows], z[:, rows], 1.0)
        history.observe(seen.nonzero()[0], z[:2, seen], step * dt_s)
    rows = started.nonzero()[0]
    now = past_steps - 1
    features = history.features(rows, state, now * dt_s)
    corrections = np.empty((len(rows), len(HORIZONS_S), 2))
    for number, horizon_s in enumerate(HORIZONS_S):
        forecast = kalman.predict(state[:, :, rows], horizon_s, settings.lost_damping_s)[P, :2]
        truth = path[now + round(horizon_s * fps)][:, rows] + drift[:, rows]
        corrections[:, number] = (truth - forecast).T / _HEIGHT_PX
    return Examples(features.astype(np.float32), corrections.astype(np.float32))
