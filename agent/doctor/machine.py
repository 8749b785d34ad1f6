"""The machine: Python, packages, clock, disk, heat, the systemd unit."""

from __future__ import annotations

import importlib.metadata
import os
import platform
import shutil
import subprocess
import tempfile
import time
from collections.abc import Iterator, Mapping
from pathlib import Path

from agent.alerts.clock import clock_synchronised
from agent.doctor.finding import Finding, fail, ok, warn
from agent.version import __version__

PACKAGES = (
    "numpy",
    "opencv-python-headless",
    "scipy",
    "paho-mqtt",
    "pydantic",
    "ai-edge-litert",
    "tflite-runtime",
)
_RUNTIMES = ("ai-edge-litert", "tflite-runtime")
_THROTTLED_NOW = {0: "under-voltage", 1: "clock capped", 2: "throttled", 3: "temperature limit"}
"""Bits of `vcgencmd get_throttled`; the same 16 higher: it has happened since the start.
Source: Raspberry Pi documentation, vcgencmd."""
_HOT_C, _TOO_HOT_C = 75.0, 80.0  # a Raspberry Pi slows down from 80 °C


def run_tool(*command: str) -> str | None:
    """What a program prints; None when it is not installed, fails or takes more than five seconds."""
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=5, check=True)
    except (OSError, subprocess.SubprocessError):
        return None
    return done.stdout.strip()


def check_python() -> Iterator[Finding]:
    """Python, and the packages that the agent runs on."""
    yield ok(f"edgetrack {__version__}, Python {platform.python_version()}, {platform.machine()}")
    versions = {}
    for package in PACKAGES:
        try:
            versions[package] = importlib.metadata.version(package)
        except importlib.metadata.PackageNotFoundError:
            continue
    yield ok(", ".join(f"{name} {version}" for name, version in versions.items()))
    if not any(name in versions for name in _RUNTIMES):
        yield warn(
            f"none of {' and '.join(_RUNTIMES)}: only motion can be detected", f"pip install {_RUNTIMES[0]}"
        )


def check_clock() -> Iterator[Finding]:
    """Whether the wall clock follows a time server."""
    now = time.strftime("%Y-%m-%d %H:%M:%S %Z")
    if clock_synchronised():
        yield ok(f"{now}, synchronised")
    else:
        yield warn(
            f"{now}, not known to be synchronised; alerts say so",
            "timedatectl set-ntp true; then timedatectl should say `System clock synchronized: yes`",
        )


def check_disk(outbox: Path, max_size_mb: float) -> Iterator[Finding]:
    """Whether the outbox can be written and has room.

    Args:
        outbox: its file.
        max_size_mb: what it may grow to.
    """
    folder = outbox.parent
    standing = next(path for path in (folder, *folder.parents) if path.exists())
    try:
        with tempfile.TemporaryFile(dir=standing) as trial:
            trial.write(b"edgetrack")
            trial.flush()
            os.fsync(trial.fileno())
    except OSError as error:
        yield fail(
            f"outbox {outbox}: {standing} cannot be written: {error.strerror or error}",
            "run doctor as the user that runs the agent, or set outbox.path",
        )
        return
    free_mb = shutil.disk_usage(standing).free / 1e6
    text = f"outbox {outbox}: writable, {free_mb:,.0f} MB free, limit {max_size_mb:,.0f} MB"
    if free_mb < max_size_mb:
        yield warn(text, "free some space or lower outbox.max_size_mb")
    else:
        yield ok(text)


def check_wear(sysfs: Path = Path("/sys")) -> Iterator[Finding]:
    """The life that eMMC memory says it has used; SD cards do not tell.

    Source: JEDEC eMMC 5.0, DEVICE_LIFE_TIME_EST: 0x01 is 0–10 % used … 0x0A 90–100 %, 0x0B beyond.
    """
    for path in sorted(sysfs.glob("block/mmcblk*/device/life_time")):
        name = path.parts[-3]
        steps = [int(part, 16) for part in path.read_text().split()]
        used = max(steps, default=0) * 10
        if used == 0:
            yield ok(f"{name}: tells nothing of its wear")
        elif used > 90:
            yield fail(f"{name}: {used - 10} % or more of its life used", "replace it; back up first")
        else:
            text = f"{name}: {used - 10}–{used} % of its life used"
            yield warn(text, "plan to replace it") if used > 70 else ok(text)
    if not list(sysfs.glob("block/mmcblk*/device/life_time")):
        yield ok("no memory here tells its wear (SD cards and SSDs do not tell it this way)")


def check_heat(sysfs: Path = Path("/sys"), throttled: str | None = None) -> Iterator[Finding]:
    """Temperature, and what a Raspberry Pi says of its power.

    Args:
        sysfs: where /sys is.
        throttled: what `vcgencmd get_throttled` prints; it is asked when None.
    """
    temperatures = [
        int(path.read_text()) / 1000.0 for path in sorted(sysfs.glob("class/thermal/thermal_zone*/temp"))
    ]
    if temperatures:
        hottest = max(temperatures)
        advice = "give it a heat sink, a fan or a lower frame rate"
        if hottest >= _TOO_HOT_C:
            yield fail(f"{hottest:.0f} °C: it slows down", advice)
        elif hottest >= _HOT_C:
            yield warn(f"{hottest:.0f} °C", advice)
        else:
            yield ok(f"{hottest:.0f} °C")
    else:
        yield ok("no temperature sensor to be seen")
    throttled = throttled if throttled is not None else run_tool("vcgencmd", "get_throttled")
    if throttled is None or not throttled.startswith("throttled="):
        return
    bits = int(throttled.removeprefix("throttled="), 16)
    now = [name for bit, name in _THROTTLED_NOW.items() if bits >> bit & 1]
    before = [name for bit, name in _THROTTLED_NOW.items() if bits >> (16 + bit) & 1]
    advice = "use the board's own power supply and a short cable"
    if now:
        yield fail(f"now: {', '.join(now)}", advice)
    elif before:
        yield warn(f"since the start: {', '.join(before)}", advice)
    else:
        yield ok("neither throttled nor short of power since the start")


def unit_properties(unit: str) -> Mapping[str, str]:
    """What systemd says of a unit; empty without systemd."""
    names = ("LoadState", "ActiveState", "UnitFileState", "NRestarts", "Result", "StatusText")
    if not Path("/run/systemd/system").is_dir():
        return {}
    lines = (run_tool("systemctl", "show", unit, "--property", ",".join(names)) or "").splitlines()
    return dict(line.partition("=")[::2] for line in lines if "=" in line)


def unit_runs(state: Mapping[str, str]) -> bool:
    """Whether a unit runs, and so holds its cameras and devices.

    Args:
        state: from `unit_properties`.
    """
    return state.get("ActiveState") in ("active", "reloading")


def check_unit(unit: str, state: Mapping[str, str]) -> Iterator[Finding]:
    """How the service is.

    Args:
        unit: its name.
        state: from `unit_properties`.
    """
    if not state:
        yield ok("systemd does not run here; start `edgetrack-agent run` by other means")
    elif state.get("LoadState") != "loaded":
        yield warn(f"{unit} is not installed", "sudo make install-device, to start it with the machine")
    elif state.get("ActiveState") == "failed":
        yield fail(f"{unit} failed ({state.get('Result')})", f"journalctl -u {unit} -n 30")
    elif state.get("ActiveState") != "active":
        yield warn(f"{unit} is {state.get('ActiveState')}", f"sudo systemctl enable --now {unit}")
    else:
        restarts = int(state.get("NRestarts") or 0)
        text = f"{unit} runs: {state.get('StatusText') or 'no status'}; restarts: {restarts}"
        if restarts:
            yield warn(text, f"journalctl -u {unit} -p warning shows why")
        elif state.get("UnitFileState") not in ("enabled", "enabled-runtime"):
            yield warn(f"{text}; not started with the machine", f"sudo systemctl enable {unit}")
        else:
            yield ok(text)
