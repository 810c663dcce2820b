# syntax=docker/dockerfile:1
# docker build -t rushes .                                       (default torch build of the machine)
# docker build -t rushes --build-arg TORCH_INDEX=https://download.pytorch.org/whl/cpu .      (CPU only)
# docker run --gpus all -e DISCORD_TOKEN -v rushes:/data rushes

FROM python:3.11-slim AS build
ARG TORCH_INDEX=""
ENV PIP_NO_CACHE_DIR=1 PIP_DISABLE_PIP_VERSION_CHECK=1
RUN python -m venv /opt/rushes
WORKDIR /src
# The dependencies first: they change less often than the code.
COPY constraints.txt .
RUN /opt/rushes/bin/pip install -c constraints.txt torch ${TORCH_INDEX:+--index-url $TORCH_INDEX}
COPY pyproject.toml README.md LICENSE ./
COPY bot bot
COPY commands commands
COPY inference inference
RUN /opt/rushes/bin/pip install -c constraints.txt ".[inference]"

FROM python:3.11-slim
RUN useradd --system --uid 10001 --home-dir /data --create-home rushes
COPY --from=build /opt/rushes /opt/rushes
COPY config.toml /etc/rushes/config.toml
ENV PATH=/opt/rushes/bin:$PATH \
    PYTHONUNBUFFERED=1 \
    RUSHES_BOT__DATA_DIR=/data \
    RUSHES_LOG__FORMAT=json
USER rushes
WORKDIR /data
VOLUME /data
STOPSIGNAL SIGTERM
ENTRYPOINT ["rushes"]
CMD ["run", "--config", "/etc/rushes/config.toml"]
