"""`edgetrack-agent init`: a first configuration out of five answers."""

from __future__ import annotations

import json
import os
import socket
import sys
import tempfile
from pathlib import Path

from agent.alerts.settings import BrokerSettings
from agent.capture.discover import FoundCamera, v4l2_cameras
from agent.capture.settings import SourceSettings
from agent.config import make_section
from agent.config_check import check_config
from agent.errors import ConfigError, StorageError
from agent.first_answers import MOTION, Answers, ask_answers, checked_answers, default_device
from agent.time_zone import machine_zone

_TEMPLATE = """\
# Written by `edgetrack-agent init`. `edgetrack-agent example` shows every setting with its meaning;
# `edgetrack-agent check {name}` checks this file, and `edgetrack-agent doctor {name}` the device.

# Part of every topic: one name per device and broker.
device: {device}

broker:
  url: {url}
{user}
cameras:
  front:
    # A file, /dev/video0, picamera:0, rtsp://… or http://…
    source: {source}
    # Cameras are asked for these; without them they take their own.
    # width: 640
    # height: 480
    # fps: 15

    # Of schedules, and of the midnight at which daily counts begin anew.
    {timezone}

    detector:
{detector}
    # Corners in fractions of the picture's width and height, from its top left.
    zones:
      view: {{points: [[0.0, 0.0], [1.0, 0.0], [1.0, 1.0], [0.0, 1.0]]}}
    # A directed line. Walk from its first point to its second: side A is at your left hand, B at your right.
    # Alerts say a-to-b (from left to right) or b-to-a (from right to left); here a-to-b is down the picture.
    # tripwires:
    #   gate: {{points: [[0.2, 0.6], [0.8, 0.6]]}}

    rules:
      # min_age_s: seen for a second, no flicker. Motion tells of movement and may see several objects in one
      # person; a model tells people and cars apart (edgetrack-models list).
      - {{kind: zone, zone: view, when: [enter], min_age_s: 1}}
      # Someone stays for half a minute:
      # - {{kind: dwell, zone: view, min_s: 30}}
      # - {{kind: tripwire, tripwire: gate}}
      # Only at night:
      # - {{kind: zone, zone: view, schedule: {{windows: [{{start: "22:00", end: "06:00"}}]}}}}
"""
_USER = """\
  username: {username}
  # The password stays out of this file: EDGETRACK_BROKER_PASSWORD in the environment, password_file, or for
  # the service /etc/credstore/edgetrack-broker-password (root's, mode 0600).
"""
_NO_USER = """\
  # username: agent
"""
_MOTION_DETECTOR = """\
      # Whatever moves. With a model it would know people from cars:
      kind: motion
      # kind: tflite
      # model: person.tflite
"""
_MODEL_DETECTOR = """\
      kind: tflite
      model: {model}
      # Classes to keep; all of the model's when left out.
      # labels: [person]
      # edgetpu for a Coral, with a model that was compiled for it.
      device: cpu
"""


def write_first_config(path: Path, given: Answers, *, ask: bool, force: bool) -> None:
    """Ask for what is not given, check the configuration and write it.

    Args:
        path: the file to write.
        given: answers that are there already.
        ask: False takes defaults instead of asking.
        force: whether a file that is there may be replaced.

    Raises:
        ConfigError: a given answer is of no use, the whole does not pass the check, or the file is there.
        StorageError: the file cannot be written.
    """
    if path.exists() and not force:
        raise ConfigError(str(path), "expected no such file, got one", "choose another name, or add --force")
    if ask and not sys.stdin.isatty():
        raise ConfigError(
            "init", "expected a terminal to ask at, got none", "add --yes and the answers' flags"
        )
    answers = checked_answers(given)
    cameras = found_cameras() if given.source is None else []
    if ask:
        answers = ask_answers(answers, cameras)
    text = first_config(path, answers, cameras)
    _write_checked(path, text, force=force)
    if answers.source is None and not cameras:
        print(f"{path}: no camera was found on this device; see that its source is right")
    print(f"{path}: written; next: edgetrack-agent doctor {path}, then edgetrack-agent run {path}")


def found_cameras() -> list[FoundCamera]:
    """Cameras on the ribbon cable, then those on USB."""
    from agent.capture.picamera import connected_cameras

    try:
        ribbon = connected_cameras()
    except Exception as error:  # noqa: BLE001 - picamera2 documents no exceptions; it is reported
        print(f"init: picamera2 could not list its cameras: {error}", file=sys.stderr)
        ribbon = []
    return [FoundCamera(f"picamera:{n}", name) for n, name in enumerate(ribbon)] + v4l2_cameras()


def first_config(path: Path, answers: Answers, cameras: list[FoundCamera]) -> str:
    """The text of the configuration; defaults stand where there is no answer.

    Args:
        path: where it will lie: relative paths are meant from there.
        answers: to the questions, checked.
        cameras: of this machine; the first one is the default source.
    """
    source = answers.source or (cameras[0].source if cameras else "/dev/video0")
    settings = make_section(SourceSettings, {"source": source})
    if settings.kind == "path":
        source = _from_folder(path, Path(source))
    model = answers.model or MOTION
    detector = _MOTION_DETECTOR
    if model != MOTION:
        detector = _MODEL_DETECTOR.format(model=json.dumps(_from_folder(path, Path(model))))
    return _TEMPLATE.format(
        name=path.name,
        device=json.dumps(answers.device or default_device(socket.gethostname())),
        url=json.dumps(answers.broker or BrokerSettings().url),
        user=_USER.format(username=json.dumps(answers.username)) if answers.username else _NO_USER,
        source=json.dumps(source),
        timezone=f"timezone: {zone}" if (zone := machine_zone()) else "# timezone: Europe/Zurich",
        detector=detector,
    )


def _from_folder(path: Path, named: Path) -> str:
    """A path that the user gave from the working directory, as it reads in the file's own folder."""
    target, folder = named.expanduser().resolve(), path.resolve().parent
    return str(target.relative_to(folder)) if target.is_relative_to(folder) else str(target)


def _write_checked(path: Path, text: str, *, force: bool) -> None:
    """Check the text where it will lie, then give it its name.

    Raises:
        ConfigError: with all faults; nothing is left behind.
        StorageError: the folder cannot be written.
    """
    try:
        handle, name = tempfile.mkstemp(prefix=f".{path.name}.", suffix=".new", dir=path.parent)
    except OSError as error:
        raise StorageError(
            str(path.parent), f"expected a folder that can be written, got: {error.strerror}"
        ) from error
    trial = Path(name)
    try:
        with os.fdopen(handle, "w", encoding="utf-8") as file:
            file.write(text)
        try:
            check_config(trial)
        except ConfigError as error:
            faults = tuple(fault.replace(str(trial), f"{path} (not written)") for fault in error.faults)
            raise ConfigError(str(path), error.problem, faults=faults) from error
        _keep_mode(trial, path)
        if force:
            trial.replace(path)
        else:
            os.link(trial, path)  # unlike a rename it replaces nothing that has come meanwhile
    except FileExistsError as error:
        raise ConfigError(str(path), "expected no such file, got one", "add --force") from error
    except OSError as error:
        raise StorageError(str(path), f"expected to write it, got: {error.strerror}") from error
    finally:
        trial.unlink(missing_ok=True)


def _keep_mode(trial: Path, path: Path) -> None:
    """Readable by the owner and the group of the folder: in /etc/edgetrack that is the service's."""
    folder = path.resolve().parent.stat()
    trial.chmod(0o640)
    if os.geteuid() == 0:
        os.chown(trial, -1, folder.st_gid)
