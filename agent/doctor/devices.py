"""Devices: who may open cameras, which Edge TPU is plugged in and how, which libedgetpu drives it."""

from __future__ import annotations

import ctypes
import grp
import importlib.metadata
import os
import pwd
import re
from collections.abc import Collection, Iterator
from contextlib import suppress
from pathlib import Path

from agent.doctor.finding import Finding, fail, ok, warn
from agent.doctor.machine import run_tool

SERVICE_USER = "edgetrack"
_CORAL_USB = {("1a6e", "089a"): "waiting for its firmware", ("18d1", "9302"): "ready"}
_USB_3_MBIT = 5000
_COMPILED_FOR = "2.5"
"""TFLite that Coral's own libedgetpu 16.0 holds; others write theirs into the package's version."""


def check_permissions(groups_needed: Collection[str]) -> Iterator[Finding]:
    """Whether this user, and the service's, may open cameras and Edge TPUs.

    Args:
        groups_needed: video and plugdev, as far as the configuration asks for them.
    """
    if not groups_needed:
        yield ok("no camera or Edge TPU of this machine is configured: no group is needed")
        return
    users = [pwd.getpwuid(os.geteuid()).pw_name]
    with suppress(KeyError):  # the service is not installed here
        users.append(pwd.getpwnam(SERVICE_USER).pw_name)
    for user in dict.fromkeys(users):
        if user == "root":
            yield ok("root may open every device; run doctor as the agent's user to see what that one may")
            continue
        missing = sorted(group for group in groups_needed if not _is_member(user, group))
        if missing:
            yield fail(
                f"user {user} is not in {', '.join(missing)}",
                f"sudo usermod -aG {','.join(missing)} {user}, and log in again",
            )
        else:
            yield ok(f"user {user} is in {', '.join(sorted(groups_needed))}")


def _is_member(user: str, group: str) -> bool:
    try:
        wanted = grp.getgrnam(group)
    except KeyError:
        return False
    entry = pwd.getpwnam(user)
    if entry.pw_uid == os.geteuid():  # what holds for this process, not what the next log-in would bring
        return wanted.gr_gid in (os.getegid(), *os.getgroups())
    return user in wanted.gr_mem or entry.pw_gid == wanted.gr_gid


def check_edge_tpu(
    *, wanted: bool, sysfs: Path = Path("/sys"), dev: Path = Path("/dev")
) -> Iterator[Finding]:
    """Edge TPUs by USB and PCIe.

    Args:
        wanted: whether a camera's model asks for one.
        sysfs, dev: where /sys and /dev are.
    """
    found = False
    for device in sorted((sysfs / "bus/usb/devices").glob("*")):
        ids = (_read(device / "idVendor"), _read(device / "idProduct"))
        if ids not in _CORAL_USB:
            continue
        found = True
        speed = float(_read(device / "speed") or 0)
        text = f"Coral USB at {device.name}, {_CORAL_USB[ids]}, {speed:.0f} Mbit/s"
        if speed < _USB_3_MBIT:
            yield warn(f"{text}: USB 2", "plug it into a blue (USB 3) port with its own cable")
        else:
            yield ok(f"{text}: USB 3")
    for device in sorted((sysfs / "class/apex").glob("apex_*")):
        found = True
        node = dev / device.name
        if os.access(node, os.R_OK | os.W_OK):
            temperature = _read(device / "temp")
            heat = f", {int(temperature) / 1000:.0f} °C" if temperature.isdecimal() else ""
            yield ok(f"Coral PCIe {node}{heat}")
        else:
            yield fail(
                f"Coral PCIe {node} may not be opened", "add the user to plugdev; install the udev rule"
            )
    if not found and wanted:
        yield fail(
            "no Edge TPU is plugged in, and a camera asks for one",
            "check cable and power (lsusb shows 1a6e:089a or 18d1:9302), or set detector.device: cpu",
        )
    elif not found:
        yield ok("none plugged in, none configured")


def check_libedgetpu(*, wanted: bool) -> Iterator[Finding]:
    """Whether libedgetpu is there, and whether it was built for the TFLite that would load it.

    One that was not ends the process that loads it, or refuses every model.

    Args:
        wanted: whether a camera's model asks for an Edge TPU.
    """
    package = run_tool(
        "dpkg-query", "-W", "-f", "${db:Status-Abbrev}${Package} ${Version}\n", "libedgetpu1-*"
    )
    installed = [line[2:].strip() for line in (package or "").splitlines() if line.startswith("ii")]
    try:
        library = ctypes.CDLL("libedgetpu.so.1")
    except OSError as error:
        if wanted:
            yield fail(f"libedgetpu: {error}", "apt-get install libedgetpu1-std (README, Coral set-up)")
        else:
            yield ok("libedgetpu is not installed, and nothing asks for it")
        return
    library.edgetpu_version.restype = ctypes.c_char_p
    label = (library.edgetpu_version() or b"").decode(errors="replace")  # its build, not its TFLite
    name = ", ".join(installed) or "not from a Debian package"
    text = f"libedgetpu ({name}), {label}"
    version = tflite_of(installed[0].split()[-1]) if installed else None
    if version is None:
        yield warn(f"{text}: built for an unknown TFLite", "see whether the check `model` passes")
        return
    text = f"{text}: built for TFLite {version}"
    runtime = _installed("tflite-runtime")
    if runtime is None:
        yield warn(f"{text}; tflite-runtime is not installed", f"pip install tflite-runtime=={version}")
    elif runtime.split(".")[:2] != version.split(".")[:2]:
        advice = f"install a libedgetpu that was built for TFLite {'.'.join(runtime.split('.')[:2])}"
        yield warn(f"{text}, tflite-runtime is {runtime}", advice)
    else:
        yield ok(f"{text}, as tflite-runtime {runtime}")


def _installed(package: str) -> str | None:
    try:
        return importlib.metadata.version(package)
    except importlib.metadata.PackageNotFoundError:
        return None


def tflite_of(package_version: str) -> str | None:
    """The TFLite that a libedgetpu package was built for, by its version; None when that does not tell.

    >>> tflite_of("16.0TF2.17.1-1"), tflite_of("16.0"), tflite_of("15.1")
    ('2.17.1', '2.5', None)
    """
    match = re.search(r"TF(\d+(?:\.\d+)+)", package_version, re.IGNORECASE)
    if match:
        return match[1]
    return _COMPILED_FOR if re.fullmatch(r"16\.0(-\w+)?", package_version) else None


def _read(path: Path) -> str:
    try:
        return path.read_text().strip()
    except OSError:
        return ""
