#!/bin/sh
# Packs all that install.sh needs into one archive, so that a cabinet can be set up, or brought up to date, without a
# network: our two wheels, the pinned packages for each architecture and Python, the unit, the example settings.
#
#   edge/deploy/bundle.sh [ARCHITECTURE…]       aarch64 (a 64-bit Raspberry Pi OS) unless named; also x86_64
#
# For a 32-bit system nobody makes wheels of all of them. Made on such a system, the bundle holds those that pip has built
# there, from sources with the pinned hashes (this needs gcc and python3-dev): `make bundle ARGS=armv7l`.
set -eu
cd "$(dirname "$0")/../.."
python=$PWD/.venv/bin/python
architectures=${*:-aarch64}
# Raspberry Pi OS 12 has 3.11, Ubuntu 24.04 has 3.12, Raspberry Pi OS 13 has 3.13.
versions=${PYTHON_VERSIONS:-3.11 3.12 3.13}
dist=${DIST:-dist}

pip() { "$python" -m pip --quiet --disable-pip-version-check "$@"; }

version=$(sed -n 's/^version = "\([^"]*\)".*/\1/p' shared/pyproject.toml)
# The name says what it is for, so that one does not take another's place.
name=arcade-edge-$version-$(echo $architectures | tr ' ' -)
[ -z "${PYTHON_VERSIONS:-}" ] || name=$name-python$(echo $versions | tr ' ' -)
mkdir -p "$dist"
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
folder=$work/$name
mkdir -p "$folder/wheels"

pip wheel --no-deps --no-build-isolation --wheel-dir "$folder/wheels" ./shared ./edge
cp requirements/edge.txt "$folder/requirements.txt"

# What this computer can build for: its architecture, which a 32-bit system has below a 64-bit kernel too, and Python.
here=$("$python" -c '
import os, struct, sys
machine = os.uname().machine
if struct.calcsize("P") == 4:
    machine = {"aarch64": "armv7l", "armv8l": "armv7l", "x86_64": "i686"}.get(machine, machine)
print(machine, "%d.%d" % sys.version_info[:2])')

download() { # the ready wheels for one architecture and Python
    platforms=
    for tag in manylinux_2_34 manylinux_2_28 manylinux_2_17 manylinux2014 linux; do
        platforms="$platforms --platform ${tag}_$1"
    done
    # shellcheck disable=SC2086
    pip download --no-deps --require-hashes --only-binary :all: --dest "$folder/wheels" --implementation cp \
        --python-version "$2" --abi "cp$(echo "$2" | tr -d .)" --abi abi3 --abi none $platforms -r "$3"
}

build() { # from the pinned sources what has no ready wheel; a wheel built here has a hash of its own
    pip wheel --no-deps --require-hashes --wheel-dir "$work/built" -r "$1"
    for wheel in "$work"/built/*.whl; do
        package=$(basename "$wheel" | cut -d- -f1 | tr '[:upper:]_' '[:lower:]-')
        hash=$(sha256sum "$wheel" | cut -d' ' -f1)
        grep -q "$hash" "$folder/requirements.txt" ||
            sed -i "s/^$package==.*\\\\\$/&\\n    --hash=sha256:$hash \\\\/" "$folder/requirements.txt"
        cp "$wheel" "$folder/wheels"
    done
}

for architecture in $architectures; do
    for of in $versions; do
        # There is no lgpio for 3.13 and later (see requirements/edge.in), and pip judges by its own version.
        case $of in
            3.11 | 3.12) cp requirements/edge.txt "$work/wanted.txt" ;;
            *) awk '/^[a-z]/ { skip = /^lgpio==/ } !skip' requirements/edge.txt >"$work/wanted.txt" ;;
        esac
        if download "$architecture" "$of" "$work/wanted.txt" 2>"$work/download.log"; then
            continue
        elif [ "$architecture $of" = "$here" ]; then
            echo "building what has no ready wheel for $architecture with Python $of"
            build "$work/wanted.txt"
        elif [ "$architecture" = "${here% *}" ] && [ -z "${PYTHON_VERSIONS:-}" ]; then
            echo "left out: Python $of, for which wheels can only be built with that Python"
        else
            cat "$work/download.log" >&2
            echo "bundle: pip does not get every package for $architecture with Python $of (above). One that has no ready" \
                "wheel can only be built on such a system: run \`make bundle ARGS=$architecture' there" >&2
            exit 1
        fi
    done
done
cp edge/deploy/install.sh edge/deploy/arcade-edge.service edge/deploy/edge.toml "$folder"
cp docs/WIRING.md "$folder"
# The same content makes the same archive.
tar -C "$work" --sort=name --owner=0 --group=0 --mtime=@0 -cf - "$name" | gzip -n >"$dist/$name.tar.gz"
echo "$dist/$name.tar.gz: for $architectures with Python $versions, $(wc -c <"$dist/$name.tar.gz") bytes"
