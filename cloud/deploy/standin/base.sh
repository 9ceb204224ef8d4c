#!/bin/sh
# Makes the stand-in for AWS's base image if it is missing: base.sh BUILDAH-OPTIONS…
# Needs root on Debian with buildah and mmdebstrap (make image-test installs them), and sandbox/setup.sh emulator.
set -eu
cd "$(dirname "$0")/../../.."
image=localhost/arcade-lambda-base:3.13
context=.setup/standin

if buildah "$@" images --quiet "$image" >/dev/null 2>&1; then
    exit 0
fi
mkdir -p "$context"
[ -s "$context/trixie.tar" ] || {
    mmdebstrap --quiet --variant=minbase --include=python3,python3-pip,ca-certificates \
        --aptopt='APT::Install-Recommends "false"' --keyring=/usr/share/keyrings trixie "$context/trixie.new"
    mv "$context/trixie.new" "$context/trixie.tar"
}
# In the image, pip uses this machine's index and trusts the certificates that this machine trusts.
{
    echo "[global]"
    echo "cert = /etc/ssl/certs/ca-certificates.crt"
    .venv/bin/python -m pip config list 2>/dev/null |
        sed -n "s/^\(global\|:env:\)\.\(index-url\|trusted-host\|proxy\)='\(.*\)'/\2 = \3/p"
} >"$context/pip.conf"
cp -L "${SSL_CERT_FILE:-/etc/ssl/certs/ca-certificates.crt}" "$context/certificates.crt"
# The runtime client, with the version and hashes that the tests use.
awk '/^(awslambdaric|simplejson|snapshot-restore-py)==/ {on = 1} on {print} on && !/\\$/ {on = 0}' \
    requirements/dev.txt >"$context/runtime.txt"
cp .setup/emulator/aws-lambda-rie cloud/deploy/standin/bootstrap cloud/deploy/standin/lambda-entrypoint.sh "$context"
buildah "$@" bud --quiet --isolation chroot --file cloud/deploy/standin/Dockerfile --tag "$image" "$context"
