#!/bin/sh
# Sets up the agent on a Raspberry Pi, or brings it up to date. Run it as root from the unpacked bundle; doing it again
# does no harm, and settings and journal stay as they are.
#
# What this machine lacks is said before anything is changed.
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
python= root= dry= online= uninstall=
# A release has some 40 MB, and two stay. The journal, and the rest of the system, want to write as well.
needed_mb=120

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

# Everything is looked at first; `packages` are those of the system that are then installed.
packages=
lacks() { # a package of the system
    [ -n "$users" ] && have apt-get || fail "missing: $1 (apt-get install $1)"
    [ -n "$(apt-cache show "$1" 2>/dev/null)" ] || fail "missing: $1, and apt knows no such package: ${2:-apt-get update}"
    packages="$packages $1"
}
install_packages() {
    [ -z "$packages" ] || say "installing with apt:$packages"
    # shellcheck disable=SC2086
    [ -z "$packages" ] || act env DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends $packages ||
        fail "apt-get could not install$packages; see above (apt-get update may help)"
    packages=
}

[ -d "$bundle/wheels" ] || fail "there are no wheels beside $0: run it from an unpacked bundle (make bundle)"
if [ -n "$python" ]; then
    have "$python" || fail "--python: there is no interpreter $python (without --python, python3 is used)"
elif ! have python3; then
    lacks python3
    install_packages # the rest cannot be looked at without it
fi
python=$(command -v "${python:-python3}") || fail "a dry run ends here: it goes on from python3"
"$python" -c 'import sys; sys.exit(sys.version_info < (3, 11))' ||
    fail "$("$python" -V) is too old, 3.11 is needed: Raspberry Pi OS 12 or later has it"

# What the bundle has no wheel of for this interpreter, with what the bundle is for.
missing=$("$python" - "$bundle" <<'END'
import os, pathlib, re, struct, sys

bundle, minor = pathlib.Path(sys.argv[1]), sys.version_info[1]
machine = os.uname().machine
if struct.calcsize("P") == 4:  # a 32-bit system, whatever its kernel is
    machine = {"aarch64": "armv7l", "armv8l": "armv7l", "x86_64": "i686"}.get(machine, machine)
wheels = [wheel.stem.split("-") for wheel in (bundle / "wheels").glob("*.whl")]

def fits(python, abi, platform):
    tags = python.split(".")
    ours = {"py3", f"py3{minor}", f"cp3{minor}"} & set(tags)
    stable = abi == "abi3" and any(re.fullmatch("cp3[0-9]+", tag) and int(tag[3:]) <= minor for tag in tags)
    return (ours or stable) and (platform == "any" or any(one.endswith("_" + machine) for one in platform.split(".")))

there = {(name.lower().replace("_", "-"), version) for name, version, *_, p, a, f in wheels if fits(p, a, f)}
lacking = []
for line in (bundle / "requirements.txt").read_text().splitlines():
    if found := re.match(r"([a-z0-9-]+)==([^ ;]+)", line):
        before = re.search(r"python_full_version < '3\.([0-9]+)'", line)
        if found.groups() not in there and not (before and minor >= int(before[1])):
            lacking.append(found[1])
if lacking:
    native = [(p, f) for name, *_, p, _, f in wheels if f != "any"]
    machines = sorted({one for _, f in native for one in re.findall("(?:x86_64|aarch64|armv[67]l|i686)$", f)})
    pythons = sorted({p.replace("cp3", "3.") for p, _ in native}, key=lambda v: [int(n) for n in v.split(".")])
    print(f"{machine}: no {', '.join(lacking)} for {machine} with Python 3.{minor} in this bundle, which is for "
          f"{', '.join(machines)} with Python {', '.join(pythons)}")
END
)
if [ -n "$missing" ]; then
    case $missing in
        armv[67]l:* | i686:*) why="${missing#*: }. This is a 32-bit system, for which nobody makes all packages ready to use. \
Set the Pi up with the 64-bit Raspberry Pi OS (every Pi since the 3 runs it), or unpack a bundle that was made on such a \
system (make bundle ARGS=${missing%%:*})" ;;
        *) why="${missing#*: }: take a bundle that was made for it \
($("$python" -c 'import sys; print("PYTHON_VERSIONS=%d.%d" % sys.version_info[:2])') make bundle ARGS=${missing%%:*})" ;;
    esac
    [ -n "$online" ] || fail "$why, or connect it to the network and use --online"
    have cc || have gcc || fail "$why. With --online pip may have to build: apt-get install gcc python3-dev"
fi

# For these no wheel of lgpio exists; Raspberry Pi OS ships it as a package of the system.
see_system=
if "$python" -c 'import sys; sys.exit(sys.version_info < (3, 13))'; then
    see_system=--system-site-packages
    "$python" -c 'import importlib.util, sys; sys.exit(importlib.util.find_spec("lgpio") is None)' ||
        lacks python3-lgpio "Raspberry Pi OS has it, plain Debian 13 has not. Use Raspberry Pi OS, or --python with a Python \
3.11 or 3.12, for which the bundle has lgpio (on Raspberry Pi OS: apt-get update)"
fi
"$python" -c 'import venv, ensurepip' 2>/dev/null || lacks python3-venv

# The nearest folder that is there says which disk it will be.
disk=$opt
while [ ! -d "$disk" ]; do disk=$(dirname "$disk"); done
free_mb=$(($(df -Pk "$disk" | awk 'NR == 2 { print $4 }') / 1024))
[ "$free_mb" -ge "$needed_mb" ] || [ -n "$dry" ] ||
    fail "only $free_mb MB are left on the disk of $opt, $needed_mb are needed: make room (df -h, apt-get clean)"

install_packages

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
    mkdir -p "$opt/releases"
    # What a power cut has left half made only fills the card.
    for half in "$opt"/releases/*; do
        [ ! -d "$half" ] || [ -e "$half/complete" ] || [ "$half" = "$opt/$(readlink "$opt/current" 2>/dev/null)" ] ||
            rm -rf "$half"
    done
    # Nor does this one stay, if it comes to nothing.
    trap 'rm -rf "$place"; say "nothing was changed: $place is gone again" >&2' EXIT
    trap 'exit 1' HUP INT TERM
    "$python" -m venv $see_system "$place"
    pip="$place/bin/python -m pip --quiet --no-input --disable-pip-version-check install"
    offline="--no-index --find-links $bundle/wheels"
    [ -z "$online" ] || offline="--find-links $bundle/wheels"
    # --ignore-installed: what the system has of them may be changed by its own upgrades.
    # shellcheck disable=SC2086
    $pip $offline --ignore-installed --require-hashes -r "$bundle/requirements.txt" ||
        fail "the packages could not be installed; pip says above why ($(uname -m), $("$python" -V), \
$(df -Ph "$opt" | awk 'NR == 2 { print $4 }') left on the disk)"
    # shellcheck disable=SC2086
    $pip --no-index --no-deps "$bundle"/wheels/arcade_shared-*.whl "$bundle"/wheels/arcade_edge-*.whl
    # It makes a FIFO wherever it is imported.
    (cd "$place" && bin/python -c 'import lgpio' && rm -f .lgd-nfy*) ||
        fail "$place/bin/python cannot import lgpio: apt-get install python3-lgpio"
    "$place/bin/arcade-edge" --help >/dev/null
    sync
    : >"$place/complete"
    sync
    trap - EXIT HUP INT TERM
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
if [ -z "$users" ] || [ -n "$services" ]; then
    say "then: sudo arcade-edge doctor; sudo arcade-edge pulse; sudo systemctl restart $service"
else
    say "then: sudo arcade-edge doctor; sudo arcade-edge pulse"
    say "systemd does not run here, so nothing starts the agent: have your own init run \`arcade-edge run' as $user," \
        "and \`arcade-edge release' whenever it has ended"
fi
