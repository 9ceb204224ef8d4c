#!/bin/sh
# Builds the image for AWS Lambda with docker, podman or buildah, whichever works here.
#
#   PLATFORM=linux/amd64|linux/arm64   must match the function's architecture (template.yaml: Architecture)
#   TAG=arcade-cloud:latest            to push it afterwards: ACCOUNT.dkr.ecr.REGION.amazonaws.com/arcade-cloud:1
#
# A Mac with an M chip builds linux/arm64 natively; linux/amd64 works there too, but slower, because it is emulated.
# Lambda takes one plain manifest and refuses an index with attestations, which buildx makes by default.
set -eu
cd "$(dirname "$0")/../.."
platform=${PLATFORM:-linux/amd64}
tag=${TAG:-arcade-cloud:latest}

# With podman-docker installed, `docker` is podman, which has other flags.
if docker buildx version 2>/dev/null | grep -q docker/buildx && docker info >/dev/null 2>&1; then
    exec docker buildx build --platform "$platform" --provenance=false --sbom=false --load --tag "$tag" .
elif podman info >/dev/null 2>&1; then
    exec podman build --platform "$platform" --format docker --tag "$tag" .
elif command -v buildah >/dev/null 2>&1; then
    exec buildah build --platform "$platform" --format docker --tag "$tag" .
fi
echo "image: none of docker (running, with buildx), podman and buildah works here. Try make image-test" >&2
exit 1
