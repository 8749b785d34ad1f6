#!/bin/bash
# Installs, runs and tests the agent in emulated Raspberry Pi user spaces, and prints a table of what it saw.
#
#   sudo make arm64-check                              all four
#   sudo make arm64-check ONLY="trixie-litert"         these
#   sudo make arm64-check TESTS="tests/agent/rules"    these tests instead of tests/agent; TESTS= for none
#
# As root on Debian, with a network. What it lacks (mmdebstrap, qemu-user-static) it installs with apt-get.
# The roots lie under $EDGETRACK_ROOTS (default: edgetrack-roots in the temporary directory), about 700 MB
# each; logs beside them. Every mount is made in a namespace that ends with the command: nothing is left
# mounted. Emulation is about 10 to 20 times slower than the host, so no time that it measures means anything;
# what it shows is that wheels, pins and code fit.
set -euo pipefail

# name | suite | architecture | CPU to be | extras | Debian's packages beyond Python, pip's own packages win
COMBINATIONS='
bookworm-litert  | bookworm | arm64 | cortex-a72 | demo       | mosquitto mosquitto-clients
bookworm-tflite  | bookworm | arm64 | cortex-a72 | demo,coral | mosquitto mosquitto-clients
trixie-litert    | trixie   | arm64 | cortex-a76 | demo       | mosquitto mosquitto-clients
bookworm-armhf   | bookworm | armhf | max        | coral      | mosquitto mosquitto-clients python3-numpy python3-opencv python3-scipy python3-yaml python3-psutil
'
here=$(cd "$(dirname "$0")" && pwd)
source=$(cd "$here/../.." && pwd)
roots=${EDGETRACK_ROOTS:-${TMPDIR:-/tmp}/edgetrack-roots}
only=${ONLY:-$(echo "$COMBINATIONS" | cut -d'|' -f1)}
say() { printf 'arm64-check %4d s: %s\n' "$SECONDS" "$*" >&2; }
fail() { printf 'arm64-check: %s\n' "$*" >&2; exit 1; }

[ "$(id -u)" = 0 ] || fail "expected root, got user $(id -un); run: sudo make arm64-check"
command -v apt-get >/dev/null || fail "expected Debian or Raspberry Pi OS, got no apt-get"
if ! command -v mmdebstrap >/dev/null || ! command -v qemu-aarch64-static >/dev/null; then
  say "installing mmdebstrap and qemu-user-static"
  apt-get update -qq
  DEBIAN_FRONTEND=noninteractive apt-get install -qq -y --no-install-recommends \
    mmdebstrap qemu-user-static binfmt-support arch-test >/dev/null
fi
mirror=${DEBIAN_MIRROR:-$(apt-get indextargets --format '$(SITE)' 'Created-By: Packages' | grep -v security | head -n 1)}
mkdir -p "$roots"

# qemu by binfmt_misc, opened when it is registered (flag F), so that the roots need not hold it.
register() {
  [ -e /proc/sys/fs/binfmt_misc/status ] || mount -t binfmt_misc binfmt_misc /proc/sys/fs/binfmt_misc
  [ -e "/proc/sys/fs/binfmt_misc/qemu-$1" ] || update-binfmts --enable "qemu-$1"
}

# A Pi's /proc/cpuinfo: with the host's, the CPU detection of LiteRT (cpuinfo) crashes under qemu 7.
cpuinfo() {
  local part=0xd08 features="fp asimd evtstrm crc32 cpuid" i
  [ "$1" != cortex-a76 ] || { part=0xd0b features="$features aes pmull sha1 sha2 atomics fphp asimdhp asimdrdm lrcpc asimddp"; }
  [ "$1" != max ] || features="half thumb fastmult vfp edsp neon vfpv3 tls vfpv4 idiva idivt vfpd32 lpae evtstrm crc32"
  for i in 0 1 2 3; do
    printf 'processor\t: %d\nBogoMIPS\t: 108.00\nFeatures\t: %s\nCPU implementer\t: 0x41\n' $i "$features"
    printf 'CPU architecture: 8\nCPU variant\t: 0x0\nCPU part\t: %s\nCPU revision\t: 3\n\n' $part
  done
}

# inside ROOT WRITABLE COMMAND…: the command in a root, /source read-only; in an overlay unless writable.
inside() {
  ROOT=$1 WRITABLE=$2 SOURCE=$tree CPUINFO=$(cpuinfo "$cpu") QEMU=$cpu
  shift 2
  export ROOT WRITABLE SOURCE CPUINFO QEMU
  unshare --mount --pid --fork --kill-child --propagation private bash -euc '
    root=$ROOT
    if [ -z "$WRITABLE" ]; then
      mount -t tmpfs tmpfs /mnt; mkdir /mnt/upper /mnt/work /mnt/root; root=/mnt/root
      mount -t overlay overlay -o "lowerdir=$ROOT,upperdir=/mnt/upper,workdir=/mnt/work" $root
    fi
    mount -t proc proc $root/proc; mount --rbind /dev $root/dev; mount -t tmpfs tmpfs $root/tmp
    printf "%s\n" "$CPUINFO" >$root/tmp/.cpuinfo; mount --bind $root/tmp/.cpuinfo $root/proc/cpuinfo
    mkdir -p $root/source; mount --bind "$SOURCE" $root/source; mount -o remount,bind,ro $root/source
    ulimit -c 0
    exec env -i PATH=/opt/venv/bin:/usr/sbin:/usr/bin:/sbin:/bin HOME=/root LC_ALL=C.UTF-8 TERM=dumb \
      QEMU_CPU=$QEMU TESTS_TIMEOUT_S=${TESTS_TIMEOUT_S:-3600} PIP_CERT=/etc/ssl/certs/ca-certificates.crt PIP_DISABLE_PIP_VERSION_CHECK=1 \
      PIP_NO_CACHE_DIR=1 PIP_ROOT_USER_ACTION=ignore chroot $root "$@"' - "$@" </dev/null
}

# What is checked: the checkout as it lies there, without what git ignores.
tree=$(mktemp -d)
trap 'rm -rf "$tree"' EXIT
(cd "$source" && git ls-files -z --cached --others --exclude-standard | tar --null --ignore-failed-read -T - -cf -) | tar -xf - -C "$tree"
key() { (echo "$*"; cat "$tree/pyproject.toml" "$tree/.ci/constraints.txt" "$here/in_root.sh") | sha256sum | cut -c1-10; }

rows=""
while IFS='|' read -r name suite arch cpu extras debs; do
  name=${name// /} suite=${suite// /} arch=${arch// /} cpu=${cpu// /} extras=${extras// /}
  debs=$(echo $debs | tr ' ' ',')
  [ -n "$name" ] && [[ " $(echo $only) " == *" $name "* ]] || continue
  case $arch in arm64) register aarch64 ;; armhf) register arm ;; esac
  log=$roots/$name.log root=$roots/$name-$(key "$suite $arch $extras $debs")
  : >"$log"
  if [ ! -e "$root/.ready" ]; then
    if [ ! -e "$root/.made" ]; then
      rm -rf --one-file-system "$roots/$name"-??????????
      say "$name: making its root (log: $log)"
      unshare --mount --propagation private mmdebstrap --quiet --variant=minbase --arch="$arch" \
        --include="python3-venv,ca-certificates${debs:+,$debs}" "$suite" "$root" "deb $mirror $suite main" >>"$log" 2>&1
      touch "$root/.made"
    fi
    cp -L /etc/resolv.conf "$root/etc/resolv.conf"
    cp -L /etc/ssl/certs/ca-certificates.crt "$root/etc/ssl/certs/ca-certificates.crt"
    if inside "$root" yes sh /source/tests/arm64/in_root.sh install "$extras" >>"$log" 2>&1; then
      touch "$root/.ready"
    else
      rows+="| $name | failed: $(tail -n 1 "$log" | cut -c1-120) | | | | |"$'\n'
      say "$name: the install failed, see $log"
      continue
    fi
  fi
  say "$name: running"
  inside "$root" "" sh /source/tests/arm64/in_root.sh check "${TESTS-tests/agent}" >>"$log" 2>&1 || true
  seen() { grep -a "^SEEN $1 " "$log" | tail -n 1 | cut -d' ' -f3-; }
  rows+="| $name | $(seen versions) | $(seen help) | $(seen demo) | $(seen tests) |"$'\n'
done <<<"$COMBINATIONS"

echo "| emulated | installed | --help | demo --seconds 5 | ${TESTS-tests/agent} |"
echo "| --- | --- | --- | --- | --- |"
printf '%s' "$rows"
! grep -q 'failed' <<<"$rows"
