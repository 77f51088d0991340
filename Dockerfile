# Perdure in a container, with the paths and the port LocalStack's users know.
# README, "From LocalStack", says how to run it; `make container-check` tries these steps.

FROM python:3.11-slim-bookworm AS build
WORKDIR /src
# What changes rarely comes first, so that a change of ours installs no dependency anew.
COPY requirements.lock ./
RUN python -m venv /opt/perdure \
    && /opt/perdure/bin/pip install --no-cache-dir --disable-pip-version-check -r requirements.lock
COPY pyproject.toml README.md LICENSE ./
COPY src ./src
RUN /opt/perdure/bin/pip install --no-cache-dir --disable-pip-version-check --no-deps .

FROM python:3.11-slim-bookworm
# tini ends what the server's children leave behind and hands signals on.  The release of
# Debian is pinned by the base image, the version of one of its packages cannot be for long.
# hadolint ignore=DL3008
RUN apt-get update \
    && apt-get install --yes --no-install-recommends tini \
    && rm -rf /var/lib/apt/lists/*
# 1000 is who most people on a Linux desktop are, so files in a mounted folder are theirs.
RUN groupadd --gid 1000 perdure \
    && useradd --uid 1000 --gid 1000 --no-create-home --home-dir /var/lib/localstack \
        --shell /usr/sbin/nologin perdure \
    && mkdir -p /var/lib/localstack /etc/localstack/init/boot.d /etc/localstack/init/start.d \
        /etc/localstack/init/ready.d /etc/localstack/init/shutdown.d \
    && chown perdure:perdure /var/lib/localstack
COPY --from=build /opt/perdure /opt/perdure
COPY container/entrypoint.sh /usr/local/bin/perdure-entrypoint
RUN chmod 755 /usr/local/bin/perdure-entrypoint
ENV PATH=/opt/perdure/bin:$PATH PYTHONUNBUFFERED=1
VOLUME /var/lib/localstack
EXPOSE 4566
# Ready means: state is restored and calls are let in.
HEALTHCHECK --interval=10s --timeout=10s --start-period=60s --retries=3 \
    CMD ["perdure", "wait", "--timeout", "5"]
ENTRYPOINT ["tini", "--", "perdure-entrypoint"]
CMD ["perdure", "start"]
