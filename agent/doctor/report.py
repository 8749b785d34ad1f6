"""All checks in their order, and how they are shown."""

from __future__ import annotations

import json
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path

from rich.console import Console
from rich.table import Table
from rich.text import Text

from agent.alerts.publisher import outbox_path
from agent.alerts.settings import OutboxSettings
from agent.config import Config, load_config
from agent.config_check import named_faults
from agent.config_notes import config_notes
from agent.doctor.broker import check_connection, check_persistence
from agent.doctor.camera import check_camera
from agent.doctor.devices import check_edge_tpu, check_libedgetpu, check_permissions
from agent.doctor.finding import Check, Finding, Level, fail, ok, run_checks, warn
from agent.doctor.inference import check_model
from agent.doctor.installation import Installation, installation_of
from agent.doctor.machine import (
    check_clock,
    check_disk,
    check_heat,
    check_python,
    check_unit,
    check_wear,
    unit_properties,
    unit_runs,
)
from agent.errors import ConfigError

_ADVICE = "mend the line; `edgetrack-agent example` shows every setting"
_OF_CONFIGURATION = ("permissions", "edge tpu", "libedgetpu", "disk")
"""Checks of the machine against what the configuration asks for."""
_STYLES = {Level.OK: "green", Level.WARN: "yellow", Level.FAIL: "bold red"}


def diagnose(path: Path | None) -> Iterator[Finding]:
    """Every check, of the machine and of what the configuration names.

    Args:
        path: the configuration; None looks at the machine only.
    """
    installation = installation_of(path)
    unit = unit_properties(installation.unit)
    service_runs = unit_runs(unit)
    config, faults = _load(path)
    yield from run_checks({"python": check_python})
    if path is not None:
        check = partial(_check_named, path, config, installation, service_runs=service_runs)
        yield from run_checks({"configuration": lambda: faults or check()})
    cameras = list(config.cameras.values()) if config else []
    devices = {camera.detector.device for camera in cameras}
    tpu_wanted = bool(devices - {"cpu"})
    groups = {"plugdev"} if tpu_wanted else set()
    if any(camera.kind in ("v4l2", "picamera") for camera in cameras):
        groups.add("video")
    outbox = config.outbox if config else OutboxSettings()
    outbox_file = outbox_path(outbox, config.device if config else "device")
    if installation.state is not None and outbox.path is None:
        outbox_file = installation.state / outbox_file.name
    checks: dict[str, Check] = {
        "permissions": partial(check_permissions, groups),
        "edge tpu": partial(check_edge_tpu, wanted=tpu_wanted),
        "libedgetpu": partial(check_libedgetpu, wanted=tpu_wanted),
        "clock": check_clock,
        "disk": partial(check_disk, outbox_file, outbox.max_size_mb),
        "disk wear": check_wear,
        "heat and power": check_heat,
        "service": partial(check_unit, installation.unit, unit),
    }
    if path is not None and config is None:  # what the faulty file decides is not known
        checks = {name: check for name, check in checks.items() if name not in _OF_CONFIGURATION}
    yield from run_checks(checks)
    if config is not None and path is not None:
        yield from run_checks(
            {
                "broker": partial(check_connection, config.broker, config.device, installation),
                "persistence": partial(check_persistence, config.broker),
            }
        )
        yield from _cameras(path, config, service_runs=service_runs)


def _load(path: Path | None) -> tuple[Config | None, list[Finding]]:
    if path is None:
        return None, []
    try:
        return load_config(path), []
    except ConfigError as error:
        return None, [fail(fault, _ADVICE) for fault in error.faults]
    except Exception as error:  # noqa: BLE001 - it is reported as a finding, and the machine is looked at
        return None, [fail(f"{path}: {type(error).__name__}: {error}", "report this as a bug")]


def _check_named(
    path: Path, config: Config | None, installation: Installation, *, service_runs: bool
) -> Iterator[Finding]:
    """What the configuration names, where no other check looks at it: the page's needs, rules, trackers."""
    if config is None:
        return
    with installation.credentials():
        faults = [
            fault
            for fault in named_faults(
                path, config, tpu_in_use=service_runs, other_user=installation.state is not None
            )
            if fault.part in ("page", "rules", "tracker")
        ]
    for fault in faults:
        where = f"{fault.where}: " if fault.where else ""
        yield fail(f"{where}{fault.error.where}: {fault.error.problem}", fault.error.hint or _ADVICE)
    notes = [warn(note.found, note.advice) for note in config_notes(path, config)]
    yield from notes
    if not faults and not notes:
        yield ok(f"{path}: no fault")


def _cameras(path: Path, config: Config, *, service_runs: bool) -> Iterator[Finding]:
    """Cameras all at once, as they run; models one after the other, so that none slows another."""
    checks: dict[str, Check] = {
        f"camera {name}": partial(check_camera, name, camera, service_runs=service_runs)
        for name, camera in config.cameras.items()
    }
    with ThreadPoolExecutor(len(checks)) as pool:
        for found in pool.map(lambda item: list(run_checks(dict([item]))), checks.items()):
            yield from found
    for name, camera in config.cameras.items():
        yield from run_checks(
            {f"model {name}": partial(check_model, path, name, camera, service_runs=service_runs)}
        )


def show(path: Path | None, *, as_json: bool) -> int:
    """`edgetrack-agent doctor`.

    Returns:
        The exit code: 1 if anything fails, else 0, also with warnings.
    """
    if as_json:
        findings = list(diagnose(path))
        rows = [
            {"check": f.check, "level": str(f.level), "found": f.found, "next_step": f.next_step}
            for f in findings
        ]
        print(json.dumps({"level": str(worst(findings)), "findings": rows}, indent=2, ensure_ascii=False))
    else:
        console = Console(highlight=False)
        findings = []
        if console.is_terminal:
            with console.status("looking …"):
                findings = list(diagnose(path))
            console.print(table(findings))
        else:
            for finding in diagnose(path):
                findings.append(finding)
                print(line(finding), flush=True)
    return 1 if worst(findings) is Level.FAIL else 0


def worst(findings: list[Finding]) -> Level:
    """The gravest level among findings."""
    levels = {finding.level for finding in findings}
    return next((level for level in (Level.FAIL, Level.WARN) if level in levels), Level.OK)


def line(finding: Finding) -> str:
    """A finding for a pipe or a log."""
    step = f"; next: {finding.next_step}" if finding.next_step else ""
    return f"{finding.level:<4}  {finding.check}: {finding.found}{step}"


def table(findings: list[Finding]) -> Table:
    """Findings for a terminal."""
    shown = Table(box=None, pad_edge=False, show_header=False)
    shown.add_column(no_wrap=True)
    shown.add_column(no_wrap=True)
    shown.add_column(overflow="fold")
    for finding in findings:
        text = Text(finding.found)
        if finding.next_step:
            text.append(f"\n→ {finding.next_step}", style="bold")
        shown.add_row(Text(finding.level, style=_STYLES[finding.level]), finding.check, text)
    return shown
