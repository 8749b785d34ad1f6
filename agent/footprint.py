"""What this process takes of its machine (memory, CPU, threads, files), and how warm and busy that is."""

from __future__ import annotations

import os
import platform
import resource
import time
from dataclasses import dataclass
from pathlib import Path

_PROC = Path("/proc")
_TICKS_S = os.sysconf("SC_CLK_TCK")


@dataclass(frozen=True, slots=True)
class Footprint:
    """One look at the process and its machine.

    Args:
        time_s: monotonic.
        cpu_s: CPU time of the process since its start, all threads.
        machine_cpu_s: that of the whole machine since it was started, all cores.
        rss_mb: resident memory now, MB (10^6).
        threads, files: of the process; open files are descriptors.
        temperature_c: of the hottest sensor; None where there is none.
    """

    time_s: float
    cpu_s: float
    machine_cpu_s: float
    rss_mb: float
    threads: int
    files: int
    temperature_c: float | None


def footprint() -> Footprint:
    """That of now."""
    used = resource.getrusage(resource.RUSAGE_SELF)
    pages = int((_PROC / "self" / "statm").read_text(encoding="ascii").split()[1])
    return Footprint(
        time_s=time.monotonic(),
        cpu_s=used.ru_utime + used.ru_stime,
        machine_cpu_s=_machine_cpu_s(),
        rss_mb=pages * os.sysconf("SC_PAGE_SIZE") / 1e6,
        threads=len(list((_PROC / "self" / "task").iterdir())),
        files=len(list((_PROC / "self" / "fd").iterdir())) - 1,  # one is that of the listing itself
        temperature_c=temperature_c(),
    )


def peak_rss_mb() -> float:
    """Largest resident set of this process so far, in MB (10^6)."""
    for line in (_PROC / "self" / "status").read_text(encoding="ascii").splitlines():
        if line.startswith("VmHWM:"):
            return int(line.split()[1]) * 1024 / 1e6
    raise RuntimeError("/proc/self/status: expected a line VmHWM, got none")


def process_age_s() -> float:
    """Seconds since this process was started, the interpreter's own start included."""
    fields = (_PROC / "self" / "stat").read_text(encoding="ascii").rpartition(")")[2].split()
    return time.clock_gettime(time.CLOCK_BOOTTIME) - int(fields[19]) / _TICKS_S


def temperature_c(sysfs: Path = Path("/sys")) -> float | None:
    """Of the hottest sensor, in °C; None where there is none or none can be read."""
    found = []
    for path in sysfs.glob("class/thermal/thermal_zone*/temp"):
        try:
            found.append(int(path.read_text(encoding="ascii")) / 1000.0)
        except (OSError, ValueError):  # sensors come and go with their drivers
            continue
    return max(found, default=None)


def machine_name() -> str:
    """Board or processor, usable cores and architecture, as a table is labelled."""
    board = Path("/proc/device-tree/model")
    if board.exists():
        name = board.read_text(encoding="utf-8", errors="replace").strip("\0 \n")
    else:
        lines = (_PROC / "cpuinfo").read_text(encoding="utf-8").splitlines()
        models = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
        name = models[0] if models else platform.processor() or "unknown processor"
    cores = len(os.sched_getaffinity(0))
    return f"{name}, {cores} cores, {platform.machine()}"


def _machine_cpu_s() -> float:
    """User, nice, system, interrupts and steal of all cores; see proc(5)."""
    parts = [
        int(field) for field in (_PROC / "stat").read_text(encoding="ascii").splitlines()[0].split()[1:9]
    ]
    user, nice, system, _idle, _waiting, interrupts, soft, steal = parts
    return (user + nice + system + interrupts + soft + steal) / _TICKS_S
