# `matnet serve` in a container that needs no network, no root and no writable root file system.
#
#   docker build --tag matnet .                                   CPU
#   docker build --tag matnet:cuda --build-arg EXTRAS=serve,gpu . CUDA 13; the host has the driver alone
#
# docs/deploy.md says how it is run. Debian 12's Python is the 3.11 that CI tests.
ARG DEBIAN=12

FROM debian:${DEBIAN}-slim AS build
ARG EXTRAS=serve,onnx
# pip's own variables reach it by these; PIP_NO_INDEX=1 builds from the files of wheelhouse/ alone.
ARG PIP_INDEX_URL
ARG PIP_NO_INDEX
# hadolint ignore=DL3008
RUN apt-get update \
    && apt-get install --yes --no-install-recommends python3-venv \
    && rm -rf /var/lib/apt/lists/*
WORKDIR /source
COPY constraints.txt wheelhouse* wheelhouse/
ENV PIP_FIND_LINKS=/source/wheelhouse PIP_NO_CACHE_DIR=1 PIP_DISABLE_PIP_VERSION_CHECK=1
RUN python3 -m venv /opt/matnet \
    && /opt/matnet/bin/pip install --constraint wheelhouse/constraints.txt pip setuptools wheel
COPY setup.cfg pyproject.toml README.md LICENSE THIRD_PARTY_NOTICES.md ./
COPY matnet_jax matnet_jax
COPY data_pipeline data_pipeline
COPY configs configs
RUN /opt/matnet/bin/pip install --constraint wheelhouse/constraints.txt --no-build-isolation \
    ".[${EXTRAS}]"

FROM debian:${DEBIAN}-slim
# OpenCV links the two libraries, and its wheel does not bring them.
# hadolint ignore=DL3008
RUN apt-get update \
    && apt-get install --yes --no-install-recommends libgl1 libglib2.0-0 python3 \
    && rm -rf /var/lib/apt/lists/* \
    && useradd --uid 10001 --no-create-home --home-dir /tmp matnet
COPY --from=build /opt/matnet /opt/matnet
# All that is written is below /tmp: uploads, compiled programs, Matplotlib's list of fonts.
ENV PATH=/opt/matnet/bin:$PATH HOME=/tmp TMPDIR=/tmp MATNET_CACHE=/tmp/matnet \
    MPLCONFIGDIR=/tmp/matplotlib PYTHONDONTWRITEBYTECODE=1 PYTHONUNBUFFERED=1 \
    NVIDIA_VISIBLE_DEVICES=all NVIDIA_DRIVER_CAPABILITIES=compute,utility
USER 10001
WORKDIR /tmp
EXPOSE 8000
HEALTHCHECK --interval=30s --timeout=10s --start-period=5m --retries=3 \
    CMD ["python", "-c", "import urllib.request as r; r.urlopen('http://127.0.0.1:8000/healthz', timeout=8)"]
ENTRYPOINT ["matnet"]
CMD ["serve", "--host=0.0.0.0"]
