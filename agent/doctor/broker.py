"""The broker: reachable, lets this device in, and as far as it can be seen keeps what it acknowledges."""

from __future__ import annotations

import ipaddress
import socket
import time
from collections.abc import Iterator
from pathlib import Path

from agent.alerts.credentials import broker_password
from agent.alerts.mqtt import check_broker
from agent.alerts.settings import BrokerSettings
from agent.config_check import unreadable
from agent.doctor.finding import Finding, ok, warn
from agent.doctor.installation import Installation
from agent.errors import EdgetrackError

MOSQUITTO_CONF = Path("/etc/mosquitto/mosquitto.conf")
_KEEPS = "persistence true, autosave_on_changes true and autosave_interval 1, each on a line of its own"
_MANUAL = "in the broker's settings switch persistence on (mosquitto: persistence, autosave_on_changes)"


def check_connection(
    settings: BrokerSettings, device: str, installation: Installation | None = None
) -> Iterator[Finding]:
    """Whether the broker lets this device in.

    Args:
        settings: the broker.
        device: its name.
        installation: the service whose password is to be used.

    Raises:
        BrokerError: it does not.
        ConfigError: the password cannot be read.
    """
    if installation is not None:
        try:
            settings = installation.with_password(settings)
        except PermissionError:
            yield warn(f"{installation.credential}: only root may read it", "run doctor with sudo")
            return
    started = time.monotonic()
    try:
        version = check_broker(settings, device)
    except EdgetrackError as error:
        if installation is None or installation.state is None or not unreadable(error):
            raise
        yield warn(f"{error.where}: {error.problem}", "run doctor with sudo")
        return
    connect_ms = (time.monotonic() - started) * 1000
    user = f"as {settings.username}" if settings.username else "without a user"
    tls = f"TLS {settings.tls.min_version} or newer" if settings.uses_tls else "no TLS"
    text = f"{settings.url}: MQTT {version}, {user}, {tls}, {connect_ms:.0f} ms"
    if settings.uses_tls or is_this_machine(settings.host) or broker_password(settings) is None:
        yield ok(text)
    else:
        yield warn(f"{text}: the password crosses the network in clear", "use mqtts:// and broker.tls")
    if version != "5":
        yield warn(
            f"MQTT {version}: the broker cannot say that its access rules refuse an alert",
            "use a broker that speaks MQTT 5",
        )


def check_persistence(settings: BrokerSettings, conf: Path = MOSQUITTO_CONF) -> Iterator[Finding]:
    """Whether a mosquitto on this machine writes what it acknowledged to its disk.

    MQTT has no question for it, so of other brokers nothing can be said.

    Args:
        settings: the broker.
        conf: the configuration of a mosquitto on this machine.
    """
    if not is_this_machine(settings.host) or not conf.exists():
        yield warn("whether the broker keeps alerts on its disk cannot be seen from here", _MANUAL)
        return
    try:
        options = mosquitto_options(conf)
    except OSError as error:
        yield warn(f"{error.filename}: {error.strerror}", "run doctor with sudo to have it looked at")
        return
    where = "/etc/mosquitto/conf.d/edgetrack.conf"
    if options.get("persistence", "false") != "true":
        yield warn(
            f"{conf}: persistence is off: a restart of the broker loses what receivers have not had",
            f"write to {where}: {_KEEPS}",
        )
    elif options.get("autosave_on_changes", "false") != "true":
        seconds = options.get("autosave_interval", "1800")
        yield warn(
            f"{conf}: saved every {seconds} s: a power cut loses what came since",
            f"write to {where}: {_KEEPS}",
        )
    else:
        changes = options.get("autosave_interval", "1800")
        yield ok(f"{conf}: persistence on, saved after {changes} changes")


def mosquitto_options(conf: Path) -> dict[str, str]:
    """The options of a mosquitto configuration and of the folders that it includes; the last one counts.

    Raises:
        OSError: a file cannot be read.
    """
    options: dict[str, str] = {}
    for line in conf.read_text(encoding="utf-8", errors="replace").splitlines():
        name, _, value = line.strip().partition(" ")
        if name == "include_dir":
            for part in sorted(Path(value.strip()).glob("*.conf")):
                options.update(mosquitto_options(part))
        elif name and not name.startswith("#"):
            options[name] = value.strip()
    return options


def is_this_machine(host: str) -> bool:
    """Whether a host name or address is a loopback one."""
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost" or host == socket.gethostname()
