#!/bin/sh
# Builds the virtual Pi's kernel: Linux as a program (User-Mode Linux) from Debian's own source, with the changes
# in kernel.patch and the parts in kernel.config. Once; then it is found in the user's cache by every checkout.
#
#   sandbox/virtual-pi/kernel.sh            builds it if it is not there, and prints its path
#   sandbox/virtual-pi/kernel.sh --path     only the path, and exit code 1 if it is not there
#
# Needs a compiler and what `make gpio-test` installs; 1.5 GB while it builds, 9 MB afterwards.
set -eu
cd "$(dirname "$0")/../.."
here=sandbox/virtual-pi
cache=${XDG_CACHE_HOME:-$HOME/.cache}/arcade-stem

say() { echo "virtual Pi: $*" >&2; }
fail() { say "$*"; exit 1; }

kernel=$cache/linux-$(cat $here/kernel.config $here/kernel.patch | sha256sum | cut -c1-12)
if [ -x "$kernel" ]; then
    echo "$kernel"
    exit
fi
[ "${1:-}" != --path ] || { echo "$kernel"; exit 1; }

if [ -d .setup/unpacked/usr/share/bison ]; then # as `sandbox/setup.sh` unpacks it for those who are not root
    M4=$(command -v m4)
    export M4 BISON_PKGDATADIR="$PWD/.setup/unpacked/usr/share/bison"
fi
for tool in gcc make flex bison bc patch xz apt-get dpkg; do
    command -v $tool >/dev/null || fail "$tool is missing: run make gpio-test on Debian or Raspberry Pi OS"
done
source=$(apt-cache depends linux-source 2>/dev/null | sed -n 's/.*Depends: \(linux-source-[0-9.]*\)$/\1/p' | head -n 1)
[ -n "$source" ] || fail "apt-get does not know linux-source: run apt-get update"

mkdir -p "$cache"
work=$(mktemp -d "$cache/build.XXXXXX")
mkdir "$work/tree" "$work/made"
trap 'rm -rf "$work"' EXIT
say "fetching $source (140 MB)"
(cd "$work" && apt-get download -qq "$source" 2>&1) | grep -v 'unsandboxed as root' >&2 || true
dpkg -x "$work"/linux-source-*.deb "$work/package"
say "unpacking it"
# The code of other machines' devices is most of it, and writing it takes longer than leaving it out.
tar -xJf "$work"/package/usr/src/"$source".tar.xz -C "$work/tree" --strip-components=1 \
    --exclude='*/Documentation/*.rst' --exclude='*/arch/[!ux]*/*.[chS]' --exclude='*/arch/*/boot/dts/*' \
    --exclude='*/drivers/gpu/*.[chS]' --exclude='*/drivers/net/*/*.[chS]' --exclude='*/drivers/media/*.[chS]' \
    --exclude='*/drivers/staging/*.[chS]' --exclude='*/drivers/infiniband/*.[chS]' --exclude='*/drivers/scsi/*.[chS]' \
    --exclude='*/sound/*.[chS]' --exclude='*/tools/testing/*'
patch --quiet --strip=1 --directory="$work/tree" <$here/kernel.patch ||
    fail "kernel.patch does not fit $source: it was made for Linux 6.1"

say "building it (a few minutes)"
log=$work/log
build() { make --silent -C "$work/tree" O="$work/made" ARCH=um "$@" >>"$log" 2>&1 || { tail -n 20 "$log" >&2; exit 1; }; }
build KCONFIG_ALLCONFIG="$PWD/$here/kernel.config" allnoconfig
missing=$(grep '^CONFIG' $here/kernel.config | grep -vxF -f "$work/made/.config" || true)
[ -z "$missing" ] || fail "$source does not know:" $missing
build -j"$(getconf _NPROCESSORS_ONLN)" linux
strip -o "$work/linux" "$work/made/linux"
mv "$work/linux" "$kernel"
echo "$kernel"
