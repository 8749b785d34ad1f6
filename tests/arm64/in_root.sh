#!/bin/sh
# The part of check.sh that runs within an emulated root; /source holds the checkout, read-only.
#
#   in_root.sh install EXTRAS    the agent's dependencies and what its tests need, into /opt/venv; wheels only
#   in_root.sh check TESTS       the agent itself, --help, the demo and tests; prints lines `SEEN what result`
set -eu

copy_source() {
  mkdir -p /tmp/edgetrack
  cp -r /source/. /tmp/edgetrack
  cd /tmp/edgetrack
}

# A venv that sees Debian's NumPy and OpenCV where the root has them: 32-bit ARM has no wheels of these.
system=""
[ ! -d /usr/lib/python3/dist-packages/numpy ] || system=--system-site-packages

case $1 in
install)
  copy_source
  python3 -m venv $system /opt/venv
  tools="pytest pytest-timeout hypothesis jsonschema"
  cp .ci/constraints.txt constraints.txt
  # What Debian has is taken as it is.
  [ -z "$system" ] || sed -i -E '/^(numpy|scipy|opencv|pyyaml|psutil)/Id' constraints.txt
  pip install -q --only-binary=:all: --constraint constraints.txt ".[$2]" $tools
  ;;
check)
  copy_source
  pip install -q --no-deps --force-reinstall . || { echo "SEEN versions failed: pip install"; exit 1; }
  python3 - <<'PYTHON'
import importlib.metadata as installed, platform, sqlite3
import cv2, numpy
runtimes = []
for name in ("ai-edge-litert", "tflite-runtime"):
    try:
        runtimes.append(f"{name} {installed.version(name)}")
    except installed.PackageNotFoundError:
        pass
print(f"SEEN versions {platform.machine()}, Python {platform.python_version()}, NumPy {numpy.__version__}, "
      f"OpenCV {cv2.__version__}, {', '.join(runtimes)}")
PYTHON
  cd /tmp
  if edgetrack-agent --help >/dev/null; then echo "SEEN help ok"; else echo "SEEN help failed"; fi
  # The demo's broker wants psutil 7, of which 32-bit ARM has no wheel but piwheels'.
  if ! python3 -c "import amqtt" 2>/dev/null; then echo "SEEN demo not run: no amqtt"
  elif timeout 900 edgetrack-agent demo --seconds 5; then echo "SEEN demo ok"; else echo "SEEN demo failed, exit $?"; fi
  [ -n "${2:-}" ] || { echo "SEEN tests not run"; exit 0; }
  # `slow` means ten seconds and more on a host, so minutes here, and has no architecture of its own.
  cd /tmp/edgetrack
  timeout "${TESTS_TIMEOUT_S:-3600}" python -m pytest -m "not slow and not soak and not data" --timeout 900 \
    -p no:cacheprovider --tb short -ra $2 >/tmp/tests.log 2>&1 || code=$?
  cat /tmp/tests.log
  last=$(tail -n 1 /tmp/tests.log)
  case $last in
  *passed*) echo "SEEN tests $last" ;;
  *) echo "SEEN tests failed, exit ${code:-0}: $last" ;;
  esac
  ;;
esac
