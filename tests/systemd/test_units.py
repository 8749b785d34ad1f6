"""The shipped units by systemd's own tools; `on_device.sh` beside this file runs them on a real systemd."""

from __future__ import annotations

import re
import shutil
import subprocess
import tomllib
from pathlib import Path

import pytest

from agent.alerts.credentials import CREDENTIAL, broker_password
from agent.alerts.settings import BrokerSettings
from agent.doctor.devices import SERVICE_USER
from agent.doctor.installation import Installation, installation_of
from agent.errors import ConfigError
from agent.web.password import CREDENTIAL as PAGE_CREDENTIAL
from agent.web.password import ENVIRONMENT as PAGE_ENVIRONMENT
from agent.web.password import page_password
from agent.web.settings import WebSettings

ROOT = Path(__file__).resolve().parents[2]
SYSTEMD = ROOT / "systemd"
UNITS = ("edgetrack-agent.service", "edgetrack-agent@.service")
MAX_EXPOSURE = 2.0


def settings(unit: str) -> dict[str, list[str]]:
    """Values by key; keys may stand several times."""
    found: dict[str, list[str]] = {}
    for line in (SYSTEMD / unit).read_text().splitlines():
        if "=" in line and not line.startswith("#"):
            key, _, value = line.partition("=")
            found.setdefault(key, []).append(value)
    return found


@pytest.fixture
def analyze() -> str:
    program = shutil.which("systemd-analyze")
    if program is None:
        pytest.skip("needs systemd-analyze (apt-get install systemd)")
    return program


@pytest.mark.parametrize("unit", UNITS)
def test_verify_has_nothing_to_say_of_a_unit(analyze: str, unit: str, tmp_path: Path) -> None:
    program = tmp_path / "edgetrack-agent"
    program.write_text("#!/bin/sh\n")
    program.chmod(0o755)
    copy = tmp_path / unit.replace("@", "@porch")
    copy.write_text((SYSTEMD / unit).read_text().replace("/opt/edgetrack/bin/edgetrack-agent", str(program)))
    done = subprocess.run(
        [analyze, "verify", "--man=no", str(copy)], capture_output=True, text=True, check=False
    )
    # It exits 0 on unknown keys, and speaks of other units of the machine: every word about ours is a fault.
    assert [line for line in done.stderr.splitlines() if "edgetrack" in line] == []


def test_verify_would_notice_a_misspelt_key(analyze: str, tmp_path: Path) -> None:
    unit = tmp_path / "edgetrack-broken.service"
    unit.write_text("[Service]\nExecStart=/bin/true\nProtectSytem=strict\n")
    done = subprocess.run(
        [analyze, "verify", "--man=no", str(unit)], capture_output=True, text=True, check=False
    )
    assert "ProtectSytem" in done.stderr


@pytest.mark.parametrize("unit", UNITS)
def test_exposure_is_at_most_two(analyze: str, unit: str, tmp_path: Path) -> None:
    copy = tmp_path / unit.replace("@", "@porch")
    copy.write_text((SYSTEMD / unit).read_text())
    done = subprocess.run(
        [analyze, "security", "--offline=true", "--no-pager", str(copy)],
        capture_output=True,
        text=True,
        check=False,
    )
    if "Unknown" in done.stderr or "unrecognized" in done.stderr:
        pytest.skip("needs systemd 250 for `systemd-analyze security --offline`")
    exposure = re.search(r"Overall exposure level for \S+: (\d+\.\d+)", done.stdout)
    assert exposure, done.stdout[-500:] + done.stderr
    assert float(exposure[1]) <= MAX_EXPOSURE


def test_template_differs_from_the_single_unit_only_by_its_instance() -> None:
    single, template = settings(UNITS[0]), settings(UNITS[1])
    assert single.keys() == template.keys()
    different = {key for key in single if single[key] != template[key]}
    assert different == {"Description", "ExecStart", "StateDirectory", "LoadCredential"}
    assert all("%i" in value for key in different for value in template[key])


@pytest.mark.parametrize("unit", UNITS)
def test_unit_agrees_with_what_the_agent_reads(unit: str) -> None:
    found = settings(unit)
    assert [value.split(":")[0] for value in found["LoadCredential"]] == [CREDENTIAL, PAGE_CREDENTIAL]
    assert found["RestartPreventExitStatus"] == [str(ConfigError.exit_code)]
    assert found["User"] == [SERVICE_USER]
    assert found["Type"] == ["notify"]


def test_doctor_looks_where_the_units_keep_things() -> None:
    single, porch = (installation_of(Path(f"/etc/edgetrack/{n}.yaml")) for n in ("edgetrack", "porch"))
    for installation, unit, name in ((single, UNITS[0], ""), (porch, UNITS[1], "porch")):
        found = {key: values[0].replace("%i", name) for key, values in settings(unit).items()}
        assert installation.unit == unit.replace("@", f"@{name}")
        assert str(installation.state) == f"/var/lib/{found['StateDirectory']}"
        assert str(installation.credential) == f"/etc/credstore/{found['LoadCredential'].split(':')[-1]}"
        assert found["ExecStart"].endswith(f"/etc/edgetrack/{name or 'edgetrack'}.yaml")
    assert installation_of(Path("edgetrack.yaml")).state is None


@pytest.mark.parametrize("suffix", ["", ".porch"])
def test_check_finds_the_passwords_of_the_service(
    suffix: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("CREDENTIALS_DIRECTORY", raising=False)
    monkeypatch.delenv(PAGE_ENVIRONMENT, raising=False)
    (tmp_path / f"{PAGE_CREDENTIAL}{suffix}").write_text("page password\n")
    installation = Installation("a.service", credential=tmp_path / f"{CREDENTIAL}{suffix}")
    reached = WebSettings(listen="0.0.0.0:8080")
    with installation.credentials():
        assert page_password(reached) == "page password"
        assert broker_password(BrokerSettings()) is None
    with pytest.raises(ConfigError, match="expected a password"):
        page_password(reached)


def test_what_is_installed_is_what_is_uninstalled() -> None:
    put = re.compile(r"^put \S+ (\S+)$", re.MULTILINE)
    install = (SYSTEMD / "install-device.sh").read_text()
    installed = put.findall(install)
    assert len(installed) == len(list(SYSTEMD.iterdir())) - 2  # all but the two scripts
    programs = re.search(r"^for program in (.+); do$", install, re.MULTILINE)
    assert programs
    installed += [f"/usr/local/bin/{program}" for program in programs[1].split()]
    uninstall = (SYSTEMD / "uninstall-device.sh").read_text().split()
    assert [path for path in installed if path not in uninstall] == []
    for credential in (CREDENTIAL, PAGE_CREDENTIAL):
        assert any(credential in word for word in uninstall)


def test_extras_that_there_are_not_are_refused_before_anything_is_done() -> None:
    known = re.search(r"expected some of (\S+), got", (SYSTEMD / "install-device.sh").read_text())
    extras = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["optional-dependencies"]
    assert known
    assert set(known[1].split(",")) <= extras.keys()


@pytest.mark.parametrize("script", ["systemd/install-device.sh", "systemd/uninstall-device.sh"])
def test_scripts_refuse_to_run_for_an_ordinary_user(script: str, tmp_path: Path) -> None:
    subprocess.run(["sh", "-n", str(ROOT / script)], check=True)
    fake = tmp_path / "id"
    fake.write_text('#!/bin/sh\n[ "$1" = -un ] && echo pi || echo 1000\n')
    fake.chmod(0o755)
    done = subprocess.run(
        ["sh", str(ROOT / script)],
        env={"PATH": f"{tmp_path}:/usr/bin:/bin"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 1
    assert "expected root, got user pi" in done.stderr
