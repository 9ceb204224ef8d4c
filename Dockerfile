# The cloud as an AWS Lambda function. `make image` builds it, and `make image-test` tries it without AWS.
ARG BASE=public.ecr.aws/lambda/python:3.13

FROM ${BASE} AS builder
WORKDIR /build
COPY requirements/build.txt requirements/cloud.txt ./
RUN python -m pip install --no-cache-dir --only-binary :all: --require-hashes --target tools -r build.txt \
 && python -m pip install --no-cache-dir --only-binary :all: --require-hashes --no-compile --target task -r cloud.txt
COPY shared shared
COPY cloud cloud
# At run time the files are read-only, so the bytecode is shipped. Python does not compare it with its source,
# because AWS does not keep the files' dates.
RUN PYTHONPATH=/build/tools python -m pip wheel --no-deps --no-build-isolation --wheel-dir wheels ./shared ./cloud \
 && python -m pip install --no-index --no-deps --no-compile --target task wheels/*.whl \
 && rm -rf task/bin \
 && python -m compileall -q --invalidation-mode unchecked-hash task

FROM ${BASE}
COPY --from=builder /build/task ${LAMBDA_TASK_ROOT}
CMD ["arcade_cloud.entrypoints.aws_lambda.handler.handler"]
