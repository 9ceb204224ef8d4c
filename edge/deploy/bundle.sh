#!/bin/sh
# Packs all that install.sh needs into one archive, so that a cabinet can be set up, or brought up to date, without a
# network: our two wheels, the pinned packages for each architecture and Python, the unit, the example settings.
#
#   edge/deploy/bundle.sh [ARCHITECTURE…]       aarch64 (a 64-bit Raspberry Pi OS) unless named; also x86_64
#
# A 32-bit system gets no wheels of msgspec and lgpio: there `install.sh --online` has pip build them.
set -eu
cd "$(dirname "$0")/../.."
python=$PWD/.venv/bin/python
architectures=${*:-aarch64}
# Raspberry Pi OS 12 has 3.11, Ubuntu 24.04 has 3.12, Raspberry Pi OS 13 has 3.13.
versions=${PYTHON_VERSIONS:-3.11 3.12 3.13}
dist=${DIST:-dist}

pip() { "$python" -m pip --quiet --disable-pip-version-check "$@"; }

version=$(sed -n 's/^version = "\([^"]*\)".*/\1/p' shared/pyproject.toml)
name=arcade-edge-$version
mkdir -p "$dist"
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
folder=$work/$name
mkdir -p "$folder/wheels"

pip wheel --no-deps --no-build-isolation --wheel-dir "$folder/wheels" ./shared ./edge
for architecture in $architectures; do
    for of in $versions; do
        # There is no lgpio for 3.13 and later (see requirements/edge.in), and pip judges by its own version.
        case $of in
            3.11 | 3.12) cp requirements/edge.txt "$work/wanted.txt" ;;
            *) awk '/^[a-z]/ { skip = /^lgpio==/ } !skip' requirements/edge.txt >"$work/wanted.txt" ;;
        esac
        set --
        for tag in manylinux_2_34 manylinux_2_28 manylinux_2_17 manylinux2014; do
            set -- "$@" --platform "${tag}_$architecture"
        done
        pip download --no-deps --require-hashes --only-binary :all: --dest "$folder/wheels" --implementation cp \
            --python-version "$of" --abi "cp$(echo "$of" | tr -d .)" --abi abi3 --abi none "$@" -r "$work/wanted.txt"
    done
done
cp requirements/edge.txt "$folder/requirements.txt"
cp edge/deploy/install.sh edge/deploy/arcade-edge.service edge/deploy/edge.toml "$folder"
cp docs/WIRING.md "$folder"
# The same content makes the same archive.
tar -C "$work" --sort=name --owner=0 --group=0 --mtime=@0 -cf - "$name" | gzip -n >"$dist/$name.tar.gz"
echo "$dist/$name.tar.gz: for $architectures with Python $versions, $(wc -c <"$dist/$name.tar.gz") bytes"
