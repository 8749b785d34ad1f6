"""Which service runs a configuration, and where that one keeps its alerts and its password."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

from agent.alerts.credentials import CREDENTIAL, ENVIRONMENT
from agent.alerts.settings import BrokerSettings

CONFIGURATIONS = Path("/etc/edgetrack")
_STATE = Path("/var/lib/edgetrack")
_CREDENTIALS = Path("/etc/credstore")


@dataclass(frozen=True, slots=True)
class Installation:
    """What `systemd/edgetrack-agent.service`, or an instance of the template, gives the agent.

    Args:
        unit: name of the unit.
        state: its state directory; None when the configuration is run by hand.
        credential: the file with the broker's password; None as above.
    """

    unit: str
    state: Path | None = None
    credential: Path | None = None

    def with_password(self, broker: BrokerSettings) -> BrokerSettings:
        """The settings as the service sees them: with its password file, where no other source comes first.

        Raises:
            PermissionError: only root may see whether there is one.
        """
        if broker.password_file is not None or os.environ.get(ENVIRONMENT) or self.credential is None:
            return broker
        try:
            self.credential.stat()
        except FileNotFoundError:
            return broker
        return broker.model_copy(update={"password_file": self.credential})


def installation_of(path: Path | None) -> Installation:
    """The service that runs a configuration: those in /etc/edgetrack have one.

    Args:
        path: the configuration; None for that of the service.

    >>> installation_of(Path("/etc/edgetrack/porch.yaml")).unit
    'edgetrack-agent@porch.service'
    """
    if path is None or path.absolute().parent != CONFIGURATIONS:
        return Installation("edgetrack-agent.service")
    if path.name == "edgetrack.yaml":
        return Installation("edgetrack-agent.service", _STATE, _CREDENTIALS / CREDENTIAL)
    name = path.stem
    return Installation(
        f"edgetrack-agent@{name}.service", _STATE / name, _CREDENTIALS / f"{CREDENTIAL}.{name}"
    )
