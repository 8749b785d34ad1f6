#!/bin/sh
# Install the agent as a systemd service, or bring an installation up to date: run it as often as you like.
#
#   sudo make install-device                      what `sudo sh systemd/install-device.sh` does
#   sudo make install-device EXTRAS=web,metrics   with the live page and the Prometheus endpoint
#   sudo make install-device EXTRAS=coral         with tflite-runtime 2.14 for an Edge TPU (Python 3.11)
#
# Extras are remembered: without EXTRAS those of the last time are brought up to date.
#
# On Raspberry Pi OS and Debian 12 or newer:
#   apt-get install python3-venv          needed
#   apt-get install python3-picamera2     for cameras on the ribbon cable
# Configuration, password and alerts are never touched.
set -eu
umask 022
say() { printf 'edgetrack: %s\n' "$*"; }
fail() { printf 'edgetrack: %s\n' "$*" >&2; exit 1; }

[ "$(id -u)" = 0 ] || fail "expected root, got user $(id -un); run: sudo make install-device"
[ "$(uname -s)" = Linux ] || fail "expected Linux with systemd, got $(uname -s)"
command -v systemctl >/dev/null || fail "expected systemd, got none; install with pip and see README.md, 'Run as a service'"
source=$(cd "$(dirname "$0")/.." && pwd)
prefix=/opt/edgetrack
python=${PYTHON:-/usr/bin/python3}
"$python" -c 'import sys; sys.exit(sys.version_info < (3, 11))' ||
  fail "expected Python 3.11 or newer, got $("$python" -V 2>&1); use Raspberry Pi OS bookworm or newer, or set PYTHON=…"
"$python" -c 'import ensurepip' 2>/dev/null || fail "expected Python's ensurepip, got none; apt-get install python3-venv"

extras=${EXTRAS:-$(cat "$prefix/extras" 2>/dev/null || true)}
for extra in $(printf %s "$extras" | tr , ' '); do
  case $extra in
    web | metrics) ;;
    coral) "$python" -c 'import sys; sys.exit(sys.version_info >= (3, 12))' ||
      fail "expected Python 3.11 for the extra coral, got $("$python" -V 2>&1); tflite-runtime 2.14 has no newer one" ;;
    *) fail "EXTRAS: expected some of web,metrics,coral, got $extra" ;;
  esac
done

# Debian's packages stay visible, since picamera2 comes only as one.
venv_is_good() { [ -x "$prefix/bin/python" ] && "$prefix/bin/python" -m pip --version >/dev/null 2>&1; }
venv_is_good || { say "making $prefix"; "$python" -m venv --clear --system-site-packages "$prefix"; }

# picamera2 is compiled against Debian's NumPy: a newer one in front of it would break it.
constraints=$(mktemp)
trap 'rm -f "$constraints"' EXIT
if version=$("$python" -c 'import numpy; print(numpy.__version__)' 2>/dev/null); then
  echo "numpy==$version" >"$constraints"
else
  cat "$source/.ci/constraints.txt" >"$constraints"
fi
say "installing the agent with: $(tail -n 1 "$constraints")"
# Copied first: building leaves its traces in the folder that it builds from.
build=$(mktemp -d)
trap 'rm -rf "$constraints" "$build"' EXIT
(cd "$source" && tar -cf - --exclude=__pycache__ pyproject.toml README.md LICENSE agent models converter) | tar -xf - -C "$build"
# A 32-bit system under a 64-bit kernel calls itself aarch64, for which it could not run a wheel.
linux32=
case $(uname -m)-$("$python" -c 'import sys; print(sys.maxsize > 2**32)') in aarch64-False) linux32="setarch linux32" ;; esac
pip() { $linux32 "$prefix/bin/python" -m pip "$@"; }
pip_options="--disable-pip-version-check --quiet --constraint $constraints"
pip wheel $pip_options --no-deps --wheel-dir "$build" "$build"
wheel=$(echo "$build"/edgetrack-*.whl)
pip install $pip_options --no-warn-script-location "$wheel${extras:+[$extras]}"
pip install $pip_options --no-warn-script-location --no-deps --force-reinstall "$wheel" # the version may be the same
mkdir -p /usr/local/bin
for program in edgetrack-agent edgetrack-models; do
  ln -sfn "$prefix/bin/$program" "/usr/local/bin/$program"
done
[ -z "$extras" ] || printf '%s\n' "$extras" >"$prefix/extras"

# put FILE TARGET: copy where it differs; sets `changed`.
changed=
put() {
  if ! cmp -s "$source/systemd/$1" "$2"; then
    install -D -m 644 "$source/systemd/$1" "$2"
    changed="$changed $2"
  fi
}
put edgetrack-agent.service /etc/systemd/system/edgetrack-agent.service
put edgetrack-agent@.service /etc/systemd/system/edgetrack-agent@.service
put edgetrack.sysusers /etc/sysusers.d/edgetrack.conf
put edgetrack.tmpfiles /etc/tmpfiles.d/edgetrack.conf
put 60-edgetrack-coral.rules /etc/udev/rules.d/60-edgetrack-coral.rules
[ -z "$changed" ] || say "written:$changed"
systemd-sysusers /etc/sysusers.d/edgetrack.conf
systemd-tmpfiles --create /etc/tmpfiles.d/edgetrack.conf
if [ -d /run/systemd/system ]; then
  systemctl daemon-reload
  if [ -e /run/udev/control ]; then
    udevadm control --reload
    udevadm trigger --subsystem-match=usb --subsystem-match=apex
  fi
  systemctl try-restart 'edgetrack-agent*.service'
fi

say "$("$prefix/bin/edgetrack-agent" --version) installed${extras:+, with $extras}"
if [ -e /etc/edgetrack/edgetrack.yaml ]; then
  say "next: sudo edgetrack-agent check /etc/edgetrack/edgetrack.yaml && sudo systemctl enable --now edgetrack-agent"
else
  say "next: sudo edgetrack-agent init /etc/edgetrack/edgetrack.yaml && sudo systemctl enable --now edgetrack-agent"
fi
