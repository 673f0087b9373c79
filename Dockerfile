# gridsidecar in an image: the sidecar in a virtual environment of its own, tini as process 1, no compiler, no root.
#
# To put your command beside it, either extend this image:
#
#     FROM gridsidecar
#     COPY handler.sh config.yaml /app/
#     CMD ["run", "--config", "/app/config.yaml"]
#
# or build it on your own image (Debian or Ubuntu, with Python 3.11 or newer and its venv module):
#
#     docker build --build-arg BASE_IMAGE=your/image --build-arg WORKDIR=. --tag gridsidecar .
#
# where `.` is the image's own WORKDIR. Where packages come from mirrors, add
#
#     --build-arg APT_MIRROR=http://mirror.example.org --build-arg PIP_INDEX_URL=https://mirror.example.org/simple
#
# An image of any other kind needs one line, and nothing of what is installed in it is touched:
#
#     docker build --target bundle --tag gridsidecar-bundle .
#
#     COPY --from=gridsidecar-bundle /opt/gridsidecar /opt/gridsidecar
#     ENV PATH=$PATH:/opt/gridsidecar/bin
#     ENTRYPOINT ["/opt/gridsidecar/bin/gridsidecar"]

ARG BASE_IMAGE=python:3.12-slim-bookworm

FROM ${BASE_IMAGE} AS builder
# Scheme and host, before paths such as /debian and /ubuntu; pip reads its variables itself.
ARG APT_MIRROR
ARG PIP_INDEX_URL
ARG PIP_TRUSTED_HOST
USER root
RUN test -z "${APT_MIRROR}" \
    || find /etc/apt -name '*.list' -o -name '*.sources' | xargs --no-run-if-empty sed -Ei "s#https?://[^/ ]+#${APT_MIRROR}#g"
RUN apt-get update \
    && apt-get install --yes --no-install-recommends tini
RUN python3 -m venv /build/tools \
    && python3 -m venv --without-pip /opt/gridsidecar
WORKDIR /build/source
# The environment holds no pip: what is built here is all that will ever be in it.
COPY requirements*.lock ./
RUN /build/tools/bin/python -m pip --python /opt/gridsidecar/bin/python install --only-binary :all: --no-deps --require-hashes \
    --requirement requirements.lock
COPY pyproject.toml README.md LICENSE ./
COPY protocol/openapi.yaml ./protocol/
COPY gridsidecar ./gridsidecar
COPY bundle ./bundle
# Without an index: what the lock lacks ends the build.
RUN /build/tools/bin/python -m pip wheel --no-deps --wheel-dir /build/wheels . \
    && /build/tools/bin/python -m pip --python /opt/gridsidecar/bin/python install --no-index /build/wheels/*.whl \
    && mkdir /opt/gridsidecar/share \
    && /build/tools/bin/python -m bundle.bill /opt/gridsidecar/lib/python3*/site-packages /usr/bin/tini-static \
    > /opt/gridsidecar/share/gridsidecar.cdx.json

# A folder with its own Python, libraries and loader, for images of any kind.
FROM builder AS bundler
ARG PIP_INDEX_URL
ARG PIP_TRUSTED_HOST
RUN apt-get install --yes --no-install-recommends gcc libc6-dev
RUN /build/tools/bin/python -m bundle --output /build/bundle

# It has no shell; as an init container it copies itself: ["/opt/gridsidecar/bin/gridsidecar-copy", "/shared"].
FROM scratch AS bundle
LABEL org.opencontainers.image.title="gridsidecar bundle" \
      org.opencontainers.image.version="0.2.0" \
      org.opencontainers.image.description="gridsidecar with all that it needs, to be copied into any Linux image" \
      org.opencontainers.image.licenses="MIT"
COPY --from=bundler /build/bundle /opt/gridsidecar
USER 10001:10001
ENTRYPOINT ["/opt/gridsidecar/bin/gridsidecar"]
CMD ["--help"]

FROM ${BASE_IMAGE}
LABEL org.opencontainers.image.title="gridsidecar" \
      org.opencontainers.image.version="0.2.0" \
      org.opencontainers.image.description="Runs any command as the worker of a RabbitMQ task queue, with its state in MySQL" \
      org.opencontainers.image.licenses="MIT"
USER root
# tini reaps what handlers leave behind, and passes SIGTERM to the sidecar alone, which then ends its handlers in order.
# The static one needs nothing from the base image.
COPY --from=builder /usr/bin/tini-static /usr/local/bin/tini
COPY --from=builder /opt/gridsidecar /opt/gridsidecar
# Commands and configuration belong to root: a handler cannot change what runs next. Its home is its own.
RUN useradd --uid 10001 --no-create-home --home-dir /var/lib/gridsidecar --shell /usr/sbin/nologin gridsidecar \
    && install --directory --owner=0 --group=0 /app /etc/gridsidecar \
    && install --directory --owner=10001 --group=10001 /var/lib/gridsidecar
ENV PATH=/opt/gridsidecar/bin:$PATH \
    PYTHONUNBUFFERED=1
# Numeric, so that Kubernetes can tell that it is not root.
USER 10001:10001
ARG WORKDIR=/app
WORKDIR ${WORKDIR}
STOPSIGNAL SIGTERM
ENTRYPOINT ["tini", "--", "gridsidecar"]
CMD ["run", "--config", "/etc/gridsidecar/config.yaml"]
