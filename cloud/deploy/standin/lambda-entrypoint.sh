#!/bin/sh
# Runs the handler that the image's CMD names: for AWS if AWS runs this, otherwise under the emulator.
# EMULATOR_OPTIONS: the addresses that the emulator listens on, so that several can run.
[ $# -eq 1 ] || { echo "the image's CMD must name one handler" >&2; exit 142; }
export _HANDLER="$1"
if [ -n "$AWS_LAMBDA_RUNTIME_API" ]; then
    exec /var/runtime/bootstrap
fi
# shellcheck disable=SC2086 - options are words
exec /usr/local/bin/aws-lambda-rie $EMULATOR_OPTIONS /var/runtime/bootstrap
