#!/bin/bash
# Installs, runs, hangs, kills, reloads, stops and uninstalls the real service, and says what it saw.
#
#   on_device.sh CHECKOUT [MODEL.tflite]
#
# As root, on a throwaway Debian or Raspberry Pi OS whose PID 1 is systemd, with make, mosquitto,
# mosquitto-clients and python3-venv. It changes /etc, /opt and /var/lib, and stops Debian's own mosquitto.
# With a model (its .json beside it where it has one) that one runs within the sandbox too.
# Exit 0 only if all holds.
set -u
source=$1 model=${2:-} unit=edgetrack-agent.service bad=0
ok() { if [ "$1" = 0 ]; then echo "PASS $2"; else echo "FAIL $2"; bad=1; fi; }
show() { systemctl show -P "$1" "$unit"; }
until_true() { local limit=$1 i; shift; for ((i = 0; i < limit * 10; i++)); do "$@" && return 0; sleep 0.1; done; return 1; }
active() { [ "$(show ActiveState)" = active ]; }
restarted() { active && [ "$(show MainPID)" != "$1" ] && [ "$(show MainPID)" != 0 ]; }
failed() { [ "$(show ActiveState)" = failed ]; }
status_says() { [[ "$(show StatusText)" == *$1* ]]; }
journal_says() { journalctl -q -u "$unit" -o cat | grep -qF "$1"; }
ms() { echo $(($(date +%s%N) / 1000000)); }

! make -s -C "$source" install-device EXTRAS=web,metrisc 2>/tmp/said && grep -q 'expected some of web,metrics,coral, got metrisc' /tmp/said; ok $? "an extra that there is not is refused: $(grep -m1 EXTRAS /tmp/said)"
t=$(ms); make -s -C "$source" install-device EXTRAS=web,metrics; ok $? "install-device in $((($(ms) - t) / 1000)) s"
[ $bad = 0 ] || exit 1
edgetrack-models list >/tmp/models; ok $? "edgetrack-models list: $(wc -l </tmp/models) lines"
before=$(cd / && find etc/systemd etc/udev etc/sysusers.d etc/tmpfiles.d etc/edgetrack usr/local/bin -type f -exec md5sum {} + | sort)
make -s -C "$source" install-device >/tmp/again; r=$?
after=$(cd / && find etc/systemd etc/udev etc/sysusers.d etc/tmpfiles.d etc/edgetrack usr/local/bin -type f -exec md5sum {} + | sort)
[ $r = 0 ] && [ "$before" = "$after" ] && ! grep -q written /tmp/again; ok $? "a second install-device changes no file"
grep -q 'with web,metrics' /tmp/again; ok $? "and remembers the extras: $(grep installed /tmp/again)"
id edgetrack | grep -q 'video.*plugdev'; ok $? "user: $(id edgetrack)"
stat -c '%U:%G %a' /etc/edgetrack | grep -q 'root:edgetrack 750'; ok $? "/etc/edgetrack is $(stat -c '%U:%G %a' /etc/edgetrack)"
systemctl cat systemd-udevd.service >/dev/null 2>&1 && { said=$(udevadm test --action=add /sys/class/mem/null 2>&1 | grep -i '60-edgetrack' | grep -iE 'invalid|unknown|fail'); [ -z "$said" ]; ok $? "udev takes the rules $said"; }

for u in $unit edgetrack-agent@porch.service; do
  said=$(systemd-analyze verify --man=no "$u" 2>&1 | grep -F edgetrack); [ -z "$said" ]; ok $? "verify $u, silently $said"
  systemd-analyze security --no-pager "$u" | tail -n 1
done

edgetrack-agent init /etc/edgetrack/first.yaml --yes >/dev/null && edgetrack-agent check /etc/edgetrack/first.yaml >/dev/null
[ "$(stat -c '%U:%G %a' /etc/edgetrack/first.yaml)" = 'root:edgetrack 640' ]; ok $? "init writes what passes check and the service may read"

# A broker with a password, and an IP camera.
systemctl -q stop mosquitto 2>/dev/null
mosquitto_passwd -b -c /tmp/passwords porch 'right one'; chmod 644 /tmp/passwords
printf 'listener 1883 127.0.0.1\nallow_anonymous false\npassword_file /tmp/passwords\n' >/tmp/mosquitto.conf
peers() {
  mosquitto -c /tmp/mosquitto.conf >/tmp/mosquitto.log 2>&1 & broker=$!
  /opt/edgetrack/bin/python "$source/tests/systemd/mjpeg_server.py" 8090 >/tmp/camera.log 2>&1 & camera=$!
}
peers
mkdir -p -m 700 /etc/credstore
(umask 077; printf 'right one\n' >/etc/credstore/edgetrack-broker-password; printf 'page password\n' >/etc/credstore/edgetrack-web-password)
cat >/etc/edgetrack/edgetrack.yaml <<YAML
device: porch
broker: {url: "mqtt://127.0.0.1:1883", username: porch}
web: {listen: "0.0.0.0:8080"}
metrics: {enabled: true}
cameras:
  front:
    source: http://127.0.0.1:8090/
    detector: {kind: motion}
    zones: {drive: {points: [[0.4, 0.2], [1.0, 0.2], [1.0, 1.0], [0.4, 1.0]]}}
    rules: [{kind: zone, zone: drive, when: [enter, leave]}]
YAML
chgrp edgetrack /etc/edgetrack/edgetrack.yaml; chmod 640 /etc/edgetrack/edgetrack.yaml
systemctl reset-failed; systemctl enable -q $unit
t=$(ms); systemctl start $unit; ok $? "start waits for READY=1, $(($(ms) - t)) ms"
until_true 20 status_says "frames/s, broker connected"; ok $? "status: $(show StatusText)"
edgetrack-agent doctor /etc/edgetrack/edgetrack.yaml >/tmp/doctor; ok $? "doctor as root, with the service's password: $(grep ' broker:' /tmp/doctor) | $(grep ' service:' /tmp/doctor)"
pid=$(show MainPID)
echo "     user $(stat -c %U /proc/$pid), memory $(show MemoryCurrent) of $(show MemoryMax) B, resident $(grep VmRSS /proc/$pid/status | tr -s "\t " " "), tasks $(show TasksCurrent)"
grep -E 'NoNewPrivs|CapEff|Seccomp:' /proc/$pid/status | tr '\n' ' '; echo
[ -e /var/lib/edgetrack/outbox-porch.sqlite ]; ok $? "outbox in the state directory, $(stat -c '%U %a' /var/lib/edgetrack)"
timeout 20 mosquitto_sub -h 127.0.0.1 -u porch -P 'right one' -t edgetrack/porch/front/alerts -C 1 >/tmp/alert; ok $? "alert: $(head -c 160 /tmp/alert)"
environ=$(tr '\0' '\n' </proc/$pid/environ) && [ -n "$environ" ] && ! grep -q 'right one' <<<"$environ"; ok $? "the password is not in the environment"

edgetrack-agent check /etc/edgetrack/edgetrack.yaml >/tmp/said 2>&1; ok $? "check as root, with the service's passwords: $(cat /tmp/said)"

# The live page, with its password from the credential.
page() { /opt/edgetrack/bin/python - "$@" <<'PYTHON'
import sys, urllib.error, urllib.request
request = urllib.request.Request("http://127.0.0.1:8080/metrics")
if len(sys.argv) > 1:
    request.add_header("Authorization", f"Bearer {sys.argv[1]}")
try:
    with urllib.request.urlopen(request, timeout=10) as answer:
        body = answer.read().decode()
        print(answer.status, next(line for line in body.splitlines() if line.startswith("edgetrack_")))
except urllib.error.HTTPError as error:
    print(error.code)
PYTHON
}
said=$(page 'page password'); [[ "$said" == 200* ]]; ok $? "live page with the credential's password: $said"
said=$(page 'another one'); [ "$said" = 401 ]; ok $? "and with another one: $said"

cp /etc/edgetrack/edgetrack.yaml /tmp/good.yaml
sed -i 's/kind: motion/kind: motoin/' /etc/edgetrack/edgetrack.yaml; systemctl reload $unit
until_true 20 journal_says "refused, the old one goes on"; ok $? "reload of a bad configuration refused: $(journalctl -q -u $unit -o cat | grep -F motoin | tail -n 1)"
until_true 20 status_says "frames/s"; [ "$(show MainPID)" = "$pid" ] && active; ok $? "and the old one goes on: $(show StatusText)"
[ "$(journalctl -q -u $unit -p err -o cat | grep -cF motoin)" = 1 ]; ok $? "logged with level err"
sed 's/front:/back:/' /tmp/good.yaml >/etc/edgetrack/edgetrack.yaml; t=$(ms); systemctl reload $unit
until_true 20 status_says "back "; ok $? "reload of a good one in $(($(ms) - t)) ms: $(show StatusText)"
[ "$(show MainPID)" = "$pid" ]; ok $? "in the same process"

# A broker or camera that is away is no hang.
until_true 20 status_says "frames/s, broker connected"; ok $? "before: $(show StatusText)"
kill $broker; until_true 20 status_says "broker away"; ok $? "broker killed: $(show StatusText)"
kill $camera; until_true 20 status_says "back lost"; ok $? "camera killed: $(show StatusText)"
t=$(ms); while (($(ms) - t < 35000)); do sleep 1; done
[ "$(show MainPID)" = "$pid" ] && active; ok $? "35 s without both, longer than WatchdogSec: same process"
t=$(ms); systemctl restart $unit; ok $? "restart without both, $(($(ms) - t)) ms"
peers
until_true 60 status_says "frames/s, broker connected"; ok $? "both back: $(show StatusText)"

pid=$(show MainPID); t=$(ms); kill -STOP "$pid"
until_true 60 restarted "$pid"; ok $? "hung process ended by the watchdog and running again after $(($(ms) - t)) ms (WatchdogUSec=$(show WatchdogUSec))"
journalctl -q -u $unit -o cat | grep -i 'watchdog timeout' | tail -n 1
pid=$(show MainPID); t=$(ms); kill -KILL "$pid"
until_true 30 restarted "$pid"; ok $? "killed process running again after $(($(ms) - t)) ms"
until_true 20 status_says "frames/s, broker connected"
timeout 20 mosquitto_sub -h 127.0.0.1 -u porch -P 'right one' -t edgetrack/porch/status -C 1 --retained-only | grep -q online; ok $? "status topic says online"
t=$(ms); systemctl stop $unit; r=$?; t=$(($(ms) - t)); [ $r = 0 ] && [ $t -lt 5000 ] && [ "$(show Result)" = success ]; ok $? "stop in $t ms, Result=$(show Result)"
timeout 20 mosquitto_sub -h 127.0.0.1 -u porch -P 'right one' -t edgetrack/porch/status -C 1 --retained-only | grep -q offline; ok $? "status topic says offline"

sed -i 's/kind: motion/kind: motoin/' /etc/edgetrack/edgetrack.yaml
! systemctl start $unit; until_true 10 failed; ok $? "a bad configuration fails at once"
n=$(show NRestarts); sleep 8; failed && [ "$(show ExecMainStatus)" = 78 ] && [ "$(show NRestarts)" = "$n" ]; ok $? "exit $(show ExecMainStatus), not started again in 8 s"
rm /etc/credstore/edgetrack-broker-password /etc/credstore/edgetrack-web-password; printf 'device: yard\ncameras: {a: {source: "http://127.0.0.1:8090/", detector: {kind: motion}}}\n' >/etc/edgetrack/yard.yaml
if [ -n "$model" ]; then
  cp "$model" /etc/edgetrack/model.tflite; [ ! -e "${model%.tflite}.json" ] || cp "${model%.tflite}.json" /etc/edgetrack/model.json; chmod 644 /etc/edgetrack/model.*
  sed -i 's/{kind: motion}/{kind: tflite, model: model.tflite}/' /etc/edgetrack/yard.yaml
fi
sed -i '1a broker: {url: "mqtt://127.0.0.1:1884"}' /etc/edgetrack/yard.yaml
mosquitto -p 1884 >/dev/null 2>&1 & open_broker=$!
chgrp edgetrack /etc/edgetrack/yard.yaml; chmod 640 /etc/edgetrack/yard.yaml
systemctl start edgetrack-agent@yard; ok $? "an instance without a password file"
unit=edgetrack-agent@yard.service; until_true 30 status_says "frames/s, broker connected"; ok $? "status: $(show StatusText) ${model:+with a model}"
pid=$(show MainPID); echo "     resident $(grep VmRSS /proc/$pid/status | tr -s "\t " " ")"; unit=edgetrack-agent.service
[ -e /var/lib/edgetrack/yard/outbox-yard.sqlite ]; ok $? "with a state directory of its own"
/usr/local/bin/edgetrack-agent doctor /etc/edgetrack/yard.yaml; echo "doctor: exit $?"
echo "--- journal"; journalctl -q --no-pager -u "$unit" -o short-monotonic | tail -n "${JOURNAL_LINES:-25}"

make -s -C "$source" uninstall-device; r=$?; [ $r = 0 ] && [ ! -e /opt/edgetrack ] && [ -z "$(ls /usr/local/bin)" ] && [ -e /etc/edgetrack/yard.yaml ] && ! systemctl cat $unit >/dev/null 2>&1
ok $? "uninstall-device keeps the configuration"
make -s -C "$source" uninstall-device PURGE=1; r=$?; [ $r = 0 ] && [ ! -e /etc/edgetrack ] && ! id edgetrack 2>/dev/null; ok $? "PURGE=1 removes everything, also a second time"
kill $broker $open_broker $camera
exit $bad
