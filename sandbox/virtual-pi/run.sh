#!/bin/sh
# Runs a command on a virtual Raspberry Pi: a Linux of its own, as a program of this computer, whose /dev/gpiochip0 is
# the kernel's own simulation of a GPIO chip. It needs neither root nor hardware, and boots in a second.
#
#   sandbox/virtual-pi/run.sh [--systemd] COMMAND [ARGUMENT…]
#
# The command runs as root in this folder. It sees this computer's files; what it writes stays in its own memory and
# is gone afterwards. Its network is its own loopback. The exit code is the command's, or 99 where it never ended.
#
#   --systemd               a real systemd is its first process; the command runs when that has started
#   VIRTUAL_PI_TIMEOUT_S    the longest that it may take (600)
#   VIRTUAL_PI_MEMORY       its memory (512M), of which half may be taken by what is written
#
# From within, the chip's far side is in /sys/devices/platform/gpio-sim.0/gpiochip0/sim_gpio<N>: `value` is what the
# line has, `pull` what the world outside does to it. /sys/module/gpio_sim/parameters/persist set to Y: a line that
# was let go keeps its level, as on Raspberry Pi OS; N: it falls back to its pull.
set -eu
here=$(cd "$(dirname "$0")" && pwd)
kernel=$("$here/kernel.sh" --path) || { echo "virtual Pi: its kernel is not built yet: make gpio-test" >&2; exit 98; }

first=plain
if [ "${1:-}" = --systemd ]; then
    first=systemd
    shift
fi
[ $# -gt 0 ] || { echo "usage: run.sh [--systemd] COMMAND [ARGUMENT…]" >&2; exit 2; }

quoted() { # as words that a shell reads back
    for word; do
        printf "'%s' " "$(printf %s "$word" | sed "s/'/'\\\\''/g")"
    done
}

talk=$(mktemp -d)
trap 'rm -rf "$talk"' EXIT
trap 'exit 130' INT TERM
{
    echo "cd $(quoted "$PWD")"
    for name in PATH PYTHONPATH PYTEST_ADDOPTS LANG ARCADE_BUNDLE ARCADE_PYTHON ARCADE_PACKAGES PIP_NO_INDEX PIP_FIND_LINKS; do
        eval "value=\${$name-}"
        [ -z "$value" ] || echo "export $name=$(quoted "$value")"
    done
    quoted "$@"
} >"$talk/command"
: >"$talk/output"

ulimit -c 0 # it ends in a panic, of which nobody wants the core
tail -f "$talk/output" &
showing=$!
timeout -k 5 "${VIRTUAL_PI_TIMEOUT_S:-600}" "$kernel" mem="${VIRTUAL_PI_MEMORY:-512M}" rootfstype=hostfs rootflags=/ ro quiet \
    init="$here/init.sh" VIRTUAL_PI_TALK="$talk" VIRTUAL_PI_FIRST="$first" \
    con=null con0=null,fd:1 </dev/null >"$talk/console" 2>&1 || true
sleep 0.2
kill "$showing" 2>/dev/null || true
if [ ! -s "$talk/code" ]; then
    echo "virtual Pi: it ended before the command did; its console:" >&2
    tail -n 40 "$talk/console" >&2
    exit 99
fi
exit "$(cat "$talk/code")"
