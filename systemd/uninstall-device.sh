#!/bin/sh
# Remove what install-device.sh installed.
#
#   sudo make uninstall-device            keeps /etc/edgetrack, the passwords and alerts that still wait
#   sudo make uninstall-device PURGE=1    removes these and the user too
set -eu
[ "$(id -u)" = 0 ] || { echo "edgetrack: expected root, got user $(id -un); run: sudo make uninstall-device" >&2; exit 1; }
if [ -d /run/systemd/system ]; then
  systemctl stop 'edgetrack-agent*.service'
fi
for link in /etc/systemd/system/*.wants/edgetrack-agent.service /etc/systemd/system/*.wants/edgetrack-agent@*.service; do
  rm -f "$link"
done
rm -f /etc/systemd/system/edgetrack-agent.service /etc/systemd/system/edgetrack-agent@.service \
  /etc/sysusers.d/edgetrack.conf /etc/tmpfiles.d/edgetrack.conf /etc/udev/rules.d/60-edgetrack-coral.rules \
  /usr/local/bin/edgetrack-agent /usr/local/bin/edgetrack-models
rm -rf /opt/edgetrack
if [ -d /run/systemd/system ]; then
  systemctl daemon-reload
  [ ! -e /run/udev/control ] || udevadm control --reload
fi
if [ "${PURGE:-}" = 1 ]; then
  rm -rf /etc/edgetrack /var/lib/edgetrack
  for password in edgetrack-broker-password edgetrack-web-password; do
    rm -f "/etc/credstore/$password" "/etc/credstore/$password".*
  done
  ! getent passwd edgetrack >/dev/null || userdel edgetrack
  ! getent group edgetrack >/dev/null || groupdel edgetrack
  echo "edgetrack: removed, with its configuration and alerts"
else
  echo "edgetrack: removed; kept: /etc/edgetrack, /var/lib/edgetrack, /etc/credstore (PURGE=1 removes these too)"
fi
