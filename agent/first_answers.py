"""The five answers that a first configuration is made of, each checked when it is given."""

from __future__ import annotations

import re
import socket
from collections.abc import Callable
from contextlib import closing
from dataclasses import dataclass, fields
from pathlib import Path

from rich.console import Console
from rich.prompt import Prompt

from agent.alerts.settings import BrokerSettings
from agent.capture.discover import FoundCamera
from agent.capture.settings import SourceSettings
from agent.config import make_section
from agent.detect.settings import DetectorSettings
from agent.errors import ConfigError, EdgetrackError
from agent.settings import Name, Section

MOTION = "motion"


@dataclass(frozen=True, slots=True)
class Answers:
    """What is known without asking; None is asked for.

    Args:
        device: name of this device.
        broker: URL, or `host` or `host:port` of one without TLS.
        username: at the broker; empty for none.
        source: of the camera.
        model: path of a `.tflite` file, or `motion`.
    """

    device: str | None = None
    broker: str | None = None
    username: str | None = None
    source: str | None = None
    model: str | None = None


class _Device(Section):
    device: Name


def checked_answers(given: Answers) -> Answers:
    """The answers that are there, as they go into the file.

    Raises:
        EdgetrackError: one is of no use; says its flag.
    """
    checked: dict[str, str | None] = {}
    for field in fields(given):
        value = getattr(given, field.name)
        try:
            checked[field.name] = None if value is None else _CHECKS[field.name](value)
        except EdgetrackError as error:
            raise ConfigError(f"--{field.name}", error.problem, error.hint) from error
    return Answers(**checked)


def ask_answers(given: Answers, cameras: list[FoundCamera], console: Console | None = None) -> Answers:
    """Ask for what is not given, each question until its answer is of use.

    Args:
        given: checked answers.
        cameras: of this machine; the first one is the default source.
        console: where to ask; None for standard error.
    """
    console = console or Console(stderr=True, highlight=False)
    ask: Callable[..., str] = Prompt(console=console).ask

    def answer(key: str, number: int, question: str, default: str) -> str:
        known: str | None = getattr(given, key)
        while known is None:
            reply = ask(f"{number}/5 {question}", console=console, default=default)
            try:
                known = _CHECKS[key](reply)
            except EdgetrackError as error:
                hint = f"; {error.hint}" if error.hint else ""
                console.print(f"    {question}: {error.problem}{hint}", markup=False)
        return known

    device = answer("device", 1, "Name of this device", default_device(socket.gethostname()))
    broker = answer("broker", 2, "MQTT broker", BrokerSettings().url)
    username = answer("username", 3, "User at the broker, empty for none", "")
    for camera in cameras:
        console.print(f"    found {camera.source}  {camera.name}", markup=False)
    first = cameras[0].source if cameras else "/dev/video0"
    source = answer("source", 4, "Camera (device, picamera:0, URL or file)", first)
    model = answer("model", 5, "Model (.tflite), or motion for none", MOTION)
    return Answers(device, broker, username, source, model)


def default_device(hostname: str) -> str:
    """A host name as a device's name.

    >>> default_device("raspberrypi.local"), default_device("_pi 4!"), default_device("…")
    ('raspberrypi', 'pi-4', 'edgetrack')
    """
    name = re.sub(r"[^A-Za-z0-9_-]+", "-", hostname.partition(".")[0]).strip("-_")
    return name[:64] or "edgetrack"


def _device(text: str) -> str:
    return make_section(_Device, {"device": text.strip()}).device


def _broker(text: str) -> str:
    """A broker's URL; a host without a scheme is one without TLS."""
    text = text.strip()
    return make_section(BrokerSettings, {"url": text if "://" in text else f"mqtt://{text}"}).url


def _source(text: str) -> str:
    settings = make_section(SourceSettings, {"source": text})
    if not settings.live:  # a camera may be plugged in later
        from agent.capture.source import open_source

        open_source(settings).close()
    return settings.source


def _model(text: str) -> str:
    text = text.strip()
    if text != MOTION:
        from agent.detect.detector import probe_detector

        with closing(probe_detector(DetectorSettings(model=Path(text).expanduser()))):
            pass
    return text


_CHECKS: dict[str, Callable[[str], str]] = {
    "device": _device,
    "broker": _broker,
    "username": str.strip,
    "source": _source,
    "model": _model,
}
