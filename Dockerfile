# The tag is fixed to a minor version of Python; a release passes an image by digest instead.
ARG PYTHON_IMAGE=python:3.11-slim-bookworm

FROM ${PYTHON_IMAGE} AS build
WORKDIR /src
ENV PIP_DISABLE_PIP_VERSION_CHECK=1 PIP_NO_CACHE_DIR=1 PIP_ROOT_USER_ACTION=ignore

# First pip itself, and what the operator is built with.
COPY requirements/build.txt requirements/
RUN pip install --require-hashes --only-binary :all: --requirement requirements/build.txt

# What the operator is built on changes less often than the operator: a layer of its own. Wheels only, each by hash.
# Bytecode that is valid for any times of the files: a builder may set them all to one, and Python would then compile
# everything at each start, in twice the time and with 86 MB more memory.
COPY requirements/operator.txt requirements/
RUN python -m venv --without-pip /opt/queue-recovery \
    && pip --python /opt/queue-recovery/bin/python install --no-compile \
        --require-hashes --only-binary :all: --requirement requirements/operator.txt \
    && python -m compileall -q -j 0 --invalidation-mode unchecked-hash /opt/queue-recovery/lib

COPY pyproject.toml README.md LICENSE* ./
COPY operator operator
RUN pip wheel --no-build-isolation --no-deps --wheel-dir dist . \
    && pip --python /opt/queue-recovery/bin/python install --no-compile \
        --no-index --no-deps --root /operator dist/*.whl \
    && python -m compileall -q --invalidation-mode unchecked-hash /operator/opt/queue-recovery/lib

FROM ${PYTHON_IMAGE}
ARG VERSION=0.1.0
LABEL org.opencontainers.image.title="QueueRecovery" \
    org.opencontainers.image.description="A Kubernetes operator that recovers a stuck Celery queue with one YAML file" \
    org.opencontainers.image.version="${VERSION}" \
    org.opencontainers.image.licenses="Apache-2.0"
COPY --from=build /opt/queue-recovery /opt/queue-recovery
COPY --from=build /operator/opt/queue-recovery /opt/queue-recovery
# The file system is read-only where the manifests run it: Python need not try to write bytecode.
ENV PATH="/opt/queue-recovery/bin:${PATH}" PYTHONDONTWRITEBYTECODE=1 PYTHONUNBUFFERED=1
# By number: Kubernetes cannot tell from a name that it is not root. It runs as any other user and group too.
USER 65532:65532
EXPOSE 8080
ENTRYPOINT ["queue-recovery"]
