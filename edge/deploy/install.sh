#!/bin/sh
# Sets up the agent on a Raspberry Pi, or brings it up to date. Run it as root from the unpacked bundle; doing it again
# does no harm, and settings and journal stay as they are.
#
#   ./install.sh [--dry-run] [--online] [--python PYTHON] [--root FOLDER]
#   ./install.sh --uninstall [--dry-run]
#
#   --dry-run         only say what would be done
#   --online          let pip fetch what the bundle has no wheel for (hashes are checked all the same)
#   --python PYTHON   another interpreter than python3 (3.11 or later)
#   --root FOLDER     put the files below FOLDER, and leave users and services alone
#   --uninstall       take away program and service; settings and journal stay
#
# What goes where:  /opt/arcade (program), /etc/arcade/edge.toml (settings), /var/lib/arcade (journal),
#                   /etc/systemd/system/arcade-edge.service, /usr/local/bin/arcade-edge
set -eu

user=arcade
service=arcade-edge
bundle=$(cd "$(dirname "$0")" && pwd)
python=python3 root= dry= online= uninstall=

say() { echo "install: $*"; }
fail() { echo "install: $*" >&2; exit 1; }
have() { command -v "$1" >/dev/null 2>&1; }
act() { # do it, or only say it
    if [ -n "$dry" ]; then echo "would: $*"; else "$@"; fi
}

while [ $# -gt 0 ]; do
    case $1 in
        --dry-run) dry=yes ;;
        --online) online=yes ;;
        --uninstall) uninstall=yes ;;
        --python) python=${2:?--python needs an interpreter}; shift ;;
        --root) root=${2:?--root needs a folder}; shift ;;
        -h | --help) sed -n '2,/^set/{s/^# \{0,1\}//p}' "$0"; exit ;;
        *) fail "unknown: $1 (--help lists what there is)" ;;
    esac
    shift
done
case $root in
    '' | /*) ;;
    *) root=$PWD/$root ;;
esac

opt=$root/opt/arcade
etc=$root/etc/arcade
state=$root/var/lib/arcade
unit=$root/etc/systemd/system/$service.service
command=$root/usr/local/bin/arcade-edge

[ -n "$root$dry" ] || [ "$(id -u)" = 0 ] || fail "this needs root: sudo $0"
# With --root there is nothing but files; without, services only where systemd is the first process.
services= users=
if [ -z "$root" ]; then
    users=yes
    [ ! -d /run/systemd/system ] || services=yes
fi

remove() {
    if [ -n "$services" ] && [ -e "$unit" ]; then
        act systemctl disable --now $service
    fi
    act rm -f "$unit" "$command"
    act rm -rf "$opt"
    [ -z "$services" ] || act systemctl daemon-reload
    say "the agent is gone. Its settings and its journal are still there: $etc, $state"
    say "the journal says what was pulsed; once the cloud has all its acks it may go too"
}

if [ -n "$uninstall" ]; then
    remove
    exit
fi

# --- what must be there ---------------------------------------------------------------------------------------

apt() { # packages of the system that are missing
    if [ -n "$users" ] && have apt-get; then
        say "installing with apt: $*"
        act env DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends "$@"
    else
        fail "missing: $* (apt-get install $*)"
    fi
}

[ -d "$bundle/wheels" ] || fail "there are no wheels beside $0: run it from an unpacked bundle (make bundle)"
have "$python" || apt python3
python=$(command -v "$python")
"$python" -c 'import sys; sys.exit(sys.version_info < (3, 11))' ||
    fail "$("$python" -V) is too old, 3.11 is needed: Raspberry Pi OS 12 or later has it"
"$python" -c 'import venv, ensurepip' 2>/dev/null || apt python3-venv
# For these no wheel of lgpio exists; Raspberry Pi OS ships it as a package of the system.
see_system=
if "$python" -c 'import sys; sys.exit(sys.version_info < (3, 13))'; then
    see_system=--system-site-packages
    "$python" -c 'import importlib.util, sys; sys.exit(importlib.util.find_spec("lgpio") is None)' || apt python3-lgpio
fi

# --- the user ---------------------------------------------------------------------------------------------------

if [ -n "$users" ]; then
    for group in gpio dialout; do
        getent group $group >/dev/null || act groupadd --system $group
    done
    getent passwd $user >/dev/null ||
        act useradd --system --user-group --home-dir /var/lib/arcade --no-create-home --shell /usr/sbin/nologin $user
    act usermod --append --groups gpio,dialout $user
    # Raspberry Pi OS has such a rule; a plain Debian leaves the chips to root.
    rule=/etc/udev/rules.d/60-arcade-gpio.rules
    if ! grep -qs 'gpiochip.*GROUP="gpio"' /etc/udev/rules.d/* /lib/udev/rules.d/* &&
        ! grep -qs 'SUBSYSTEM=="gpio".*GROUP="gpio"' /etc/udev/rules.d/* /lib/udev/rules.d/*; then
        say "letting the group gpio use the GPIO chips ($rule)"
        if [ -z "$dry" ]; then
            mkdir -p "${rule%/*}"
            echo 'SUBSYSTEM=="gpio", KERNEL=="gpiochip*", GROUP="gpio", MODE="0660"' >$rule
        fi
        for chip in /dev/gpiochip*; do
            [ ! -e "$chip" ] || { act chgrp gpio "$chip"; act chmod 660 "$chip"; }
        done
    fi
fi

# --- the program ------------------------------------------------------------------------------------------------

# Each content has a folder of its own, and `current` leads to one: a power cut in here leaves the old one in use.
release=$(cat "$bundle"/wheels/* "$bundle/requirements.txt" | sha256sum | cut -c1-12)-$("$python" -c \
    'import sys; print("python%d.%d" % sys.version_info[:2])')
place=$opt/releases/$release

make_release() {
    rm -rf "$place"
    mkdir -p "$opt/releases"
    "$python" -m venv $see_system "$place"
    pip="$place/bin/python -m pip --quiet --no-input --disable-pip-version-check install"
    offline="--no-index --find-links $bundle/wheels"
    [ -z "$online" ] || offline="--find-links $bundle/wheels"
    # --ignore-installed: what the system has of them may be changed by its own upgrades.
    # shellcheck disable=SC2086
    $pip $offline --ignore-installed --require-hashes -r "$bundle/requirements.txt" ||
        fail "the packages could not be installed: if the bundle has no wheels for this machine ($(uname -m), \
$("$python" -V)), connect it to the network and use --online"
    # shellcheck disable=SC2086
    $pip --no-index --no-deps "$bundle"/wheels/arcade_shared-*.whl "$bundle"/wheels/arcade_edge-*.whl
    # It makes a FIFO wherever it is imported.
    (cd "$place" && bin/python -c 'import lgpio' && rm -f .lgd-nfy*) ||
        fail "$place/bin/python has no lgpio: apt-get install python3-lgpio"
    "$place/bin/arcade-edge" --help >/dev/null
    sync
    : >"$place/complete"
    sync
}

if [ -e "$place/complete" ]; then
    say "the program is there already: $place"
elif [ -n "$dry" ]; then
    echo "would: make the virtual environment $place from $bundle/wheels"
else
    say "making $place (a minute on a small Pi)"
    make_release
fi
before=$(readlink "$opt/current" 2>/dev/null || true)
if [ "$before" != "releases/$release" ]; then
    act ln -sfn "releases/$release" "$opt/current.new"
    act mv -T "$opt/current.new" "$opt/current"
fi
act mkdir -p "${command%/*}"
act ln -sfn /opt/arcade/current/bin/arcade-edge "$command"

# --- settings and journal ---------------------------------------------------------------------------------------

first=
[ -e "$etc/edge.toml" ] || first=yes
owned() { [ -z "$users" ] || act chown "$user:$user" "$1"; }
act mkdir -p "$etc" "$state"
if [ -n "$first" ]; then
    act cp "$bundle/edge.toml" "$etc/edge.toml"
else
    say "the settings stay as they are: $etc/edge.toml"
fi
act chmod 600 "$etc/edge.toml"
owned "$etc/edge.toml"
act chmod 700 "$state"
owned "$state"

# --- the service ------------------------------------------------------------------------------------------------

changed=
if ! cmp -s "$bundle/$service.service" "$unit"; then
    changed=yes
    act mkdir -p "${unit%/*}"
    act cp "$bundle/$service.service" "$unit"
    act chmod 644 "$unit"
fi
if [ -n "$services" ]; then
    act systemctl daemon-reload
    act systemctl --quiet enable $service
    if [ -z "$first" ] && { [ -n "$changed" ] || [ "$before" != "releases/$release" ]; } &&
        systemctl --quiet is-active $service; then
        say "restarting the agent (it finishes the credit under way first)"
        act systemctl restart $service
    fi
fi

# The one before stays, to go back to by hand; older ones go.
if [ "$before" != "releases/$release" ]; then
    for old in "$opt"/releases/*; do
        [ "$old" = "$place" ] || [ "$old" = "$opt/$before" ] || [ ! -d "$old" ] || act rm -rf "$old"
    done
fi

say "done: $release"
[ -z "$first" ] || say "fill in $etc/edge.toml (arcade-cloud machine add prints it), wire the machine (WIRING.md)"
say "then: sudo arcade-edge doctor; sudo arcade-edge pulse; sudo systemctl restart $service"
