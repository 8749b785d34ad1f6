"""Which service runs a configuration, and where that one keeps its alerts and its password."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

from agent.alerts.credentials import CREDENTIAL, ENVIRONMENT
from agent.alerts.settings import BrokerSettings
from agent.web.password import CREDENTIAL as PAGE_CREDENTIAL

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

    @contextmanager
    def credentials(self) -> Iterator[None]:
        """Within the block passwords are those of the service.

        To read one that this user may not, or to look for it, is a PermissionError there.
        """
        if self.credential is None or "CREDENTIALS_DIRECTORY" in os.environ:
            yield
            return
        suffix = self.credential.name.removeprefix(CREDENTIAL)
        with tempfile.TemporaryDirectory() as folder:
            for name in (CREDENTIAL, PAGE_CREDENTIAL):
                stored = self.credential.with_name(name + suffix)
                with suppress(FileNotFoundError):
                    with suppress(PermissionError):  # it may be there: reading it will say so
                        stored.stat()
                    (Path(folder) / name).symlink_to(stored)
            os.environ["CREDENTIALS_DIRECTORY"] = folder
            try:
                yield
            finally:
                del os.environ["CREDENTIALS_DIRECTORY"]


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
