# Two images from one file; docs/docker.md says how to run them.
#
#   docker build -t rushes .                                     with torch, for rendering (the default)
#   docker build -t rushes-bot --target bot .                    without torch: to try the wiring with `testcard`
#   docker build -t rushes --build-arg TORCH_INDEX=https://download.pytorch.org/whl/cpu .        for a CPU only

FROM python:3.11-slim AS build
ENV PIP_NO_CACHE_DIR=1 \
    PIP_DISABLE_PIP_VERSION_CHECK=1
WORKDIR /src
RUN python3 -m venv --upgrade-deps /opt/rushes
COPY constraints.txt ./

FROM build AS build-bot
COPY pyproject.toml README.md LICENSE ./
COPY bot bot
COPY commands commands
COPY inference inference
RUN /opt/rushes/bin/pip install -c constraints.txt .

FROM build AS build-full
ARG TORCH_INDEX=""
# Torch first: it is the largest part, and changes less often than the code.
RUN /opt/rushes/bin/pip install -c constraints.txt torch ${TORCH_INDEX:+--index-url "$TORCH_INDEX"}
COPY pyproject.toml README.md LICENSE ./
COPY bot bot
COPY commands commands
COPY inference inference
RUN /opt/rushes/bin/pip install -c constraints.txt ".[inference]"

FROM python:3.11-slim AS runtime
# Group 0 may write to /data, so that the image also runs under any number: docker run --user 12345:0
RUN useradd --system --uid 10001 --gid 0 --home-dir /data --no-create-home rushes \
    && mkdir /data \
    && chown 10001:0 /data \
    && chmod 0770 /data
COPY config.toml /etc/rushes/config.toml
ENV PATH=/opt/rushes/bin:$PATH \
    PYTHONUNBUFFERED=1 \
    PYTHONDONTWRITEBYTECODE=1 \
    RUSHES_BOT__DATA_DIR=/data \
    RUSHES_LOG__FORMAT=json
WORKDIR /data
VOLUME /data
STOPSIGNAL SIGTERM
# What /readyz says. Weights are read after the start, by the worker.
HEALTHCHECK --interval=30s --timeout=20s --start-period=120s --retries=3 CMD ["rushes", "health"]
ENTRYPOINT ["rushes"]
CMD ["run", "--config", "/etc/rushes/config.toml"]

FROM runtime AS bot
COPY --from=build-bot /opt/rushes /opt/rushes
USER 10001

FROM runtime AS full
# Kernels for the GPU are compiled where they run, which needs a C compiler.
# Their versions are those of the base, and move with it.
# hadolint ignore=DL3008
RUN apt-get update \
    && apt-get install --yes --no-install-recommends gcc libc6-dev \
    && rm -rf /var/lib/apt/lists/*
COPY --from=build-full /opt/rushes /opt/rushes
USER 10001
