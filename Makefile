# Everything here is spelled out for people without make in README.md, "Without make".
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
PIP := $(BIN)/python -m pip install --disable-pip-version-check --quiet

.PHONY: demo test setup check bench faults install-device uninstall-device arm64-check clean

## make demo: install what the agent needs and run the main job on a bundled clip
demo: $(VENV)/.agent
	$(BIN)/edgetrack-agent demo

## make test: install everything and run the tests
test: setup
	$(BIN)/python -m pytest

## make setup: .venv with all that demo, tests, models and converter need
setup: $(VENV)/.workstation

## make check: formatting, lint, types
check: setup
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

## sudo make install-device: the agent as a systemd service of this Raspberry Pi (EXTRAS=coral: tflite-runtime)
install-device:
	EXTRAS='$(EXTRAS)' sh systemd/install-device.sh

## sudo make uninstall-device: remove it; configuration and alerts stay (PURGE=1 removes these too)
uninstall-device:
	PURGE='$(PURGE)' sh systemd/uninstall-device.sh

## make faults: kill, tear, fill, cut and fuzz what can fail, and print what was lost; an hour or more (disk_full as root)
FAULTS := broker_kill publisher_kill receipts torn_outbox disk_full network clock_jumps tpu_faults camera_faults \
  graceful_stop soak
faults: setup
	for fault in $(FAULTS); do echo "== $$fault"; $(BIN)/python -m tests.faults.$$fault || exit 1; done
	$(BIN)/python -m tests.fuzz.fuzz --inputs 120000
	$(BIN)/python -m tests.bench.alerts.outbox_backlog

## sudo make arm64-check: install, run and test the agent in emulated Raspberry Pi user spaces (Debian, an hour or two;
## ONLY="trixie-litert", TESTS="tests/agent/rules" for less)
arm64-check:
	ONLY='$(ONLY)' $(if $(filter undefined,$(origin TESTS)),,TESTS='$(TESTS)') tests/arm64/check.sh

clean:
	rm -rf $(VENV) build dist *.egg-info .pytest_cache .mypy_cache .ruff_cache

$(VENV)/bin/python:
	$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "edgetrack: expected Python 3.11 or newer, got " + sys.version.split()[0] + "; make PYTHON=python3.11")'
	$(PYTHON) -m venv $(VENV)

$(VENV)/.agent: pyproject.toml | $(VENV)/bin/python
	$(PIP) --constraint .ci/constraints.txt --editable ".[demo]"
	touch $@

$(VENV)/.workstation: pyproject.toml .ci/constraints.txt $(VENV)/.agent
	$(PIP) --constraint .ci/constraints.txt --editable ".[coral,demo,web,metrics,converter,models,dev]"
	$(PIP) --no-deps trackeval==1.3.0
	touch $@
