#!/bin/sh
# Runs the handler named by the image's CMD: for AWS where AWS runs this, else for the emulator.
# EMULATOR_OPTIONS: on which addresses the emulator listens, for whoever runs several.
[ $# -eq 1 ] || { echo "the image's CMD must name one handler" >&2; exit 142; }
export _HANDLER="$1"
if [ -n "$AWS_LAMBDA_RUNTIME_API" ]; then
    exec /var/runtime/bootstrap
fi
# shellcheck disable=SC2086 - options are words
exec /usr/local/bin/aws-lambda-rie $EMULATOR_OPTIONS /var/runtime/bootstrap
