"""Where passwords come from."""

from __future__ import annotations

import os
from pathlib import Path

from pydantic import SecretStr

from agent.alerts.settings import BrokerSettings
from agent.errors import ConfigError

ENVIRONMENT = "EDGETRACK_BROKER_PASSWORD"
CREDENTIAL = "edgetrack-broker-password"


def broker_password(settings: BrokerSettings) -> str | None:
    """The password: from the environment, `password_file`, the systemd credential, or the configuration.

    Raises:
        ConfigError: a file that should hold it cannot be read.
    """
    return find_password(
        "broker", ENVIRONMENT, CREDENTIAL, password_file=settings.password_file, password=settings.password
    )


def find_password(
    section: str, environment: str, credential: str, *, password_file: Path | None, password: SecretStr | None
) -> str | None:
    """The password of a section, from the first place that has one.

    Args:
        section: of the configuration, for messages.
        environment: name of a variable.
        credential: name of a systemd credential.
        password_file, password: as configured.

    Raises:
        ConfigError: a file that should hold it cannot be read.
    """
    from_environment = os.environ.get(environment)
    if from_environment:
        return from_environment
    if password_file is not None:
        return _first_line(f"{section}.password_file", password_file)
    directory = os.environ.get("CREDENTIALS_DIRECTORY")
    if directory and (Path(directory) / credential).exists():
        return _first_line(f"systemd credential {credential}", Path(directory) / credential)
    return password.get_secret_value() if password is not None else None


def _first_line(where: str, path: Path) -> str:
    try:
        lines = path.read_text(encoding="utf-8").splitlines()
    except OSError as error:
        raise ConfigError(
            where, f"expected a readable file, got {path}: {error.strerror or error}"
        ) from error
    except UnicodeDecodeError as error:
        raise ConfigError(where, f"expected UTF-8 text, got other bytes in {path}") from error
    if not lines or not lines[0]:
        raise ConfigError(where, f"expected the password on the first line, got none in {path}")
    return lines[0]
