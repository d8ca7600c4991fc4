# The production image: no embedded servers, no tools, an unprivileged user.
FROM python:3.13-slim AS build
WORKDIR /src
# --build-arg LOCK=otel: with OpenTelemetry.
ARG LOCK=production
COPY requirements/${LOCK}.lock requirements/${LOCK}.lock
RUN python -m venv /opt/campaigns \
 && /opt/campaigns/bin/pip install --no-cache-dir --require-hashes -r requirements/${LOCK}.lock
COPY requirements/build.lock requirements/build.lock
RUN python -m venv /opt/build \
 && /opt/build/bin/pip install --no-cache-dir --require-hashes -r requirements/build.lock
COPY pyproject.toml README.md LICENSE CHANGELOG.md celeryconfig.py ./
COPY campaigns campaigns
COPY worker worker
COPY simulator simulator
# Without isolation: nothing is fetched here that is not pinned by hash.
RUN /opt/build/bin/pip wheel --no-cache-dir --no-deps --no-build-isolation --wheel-dir /opt/wheels . \
 && /opt/campaigns/bin/pip install --no-cache-dir --no-index --no-deps /opt/wheels/*.whl

FROM python:3.13-slim
# By number, so that Kubernetes can see that it is not root.
RUN useradd --system --uid 10001 --create-home --home-dir /var/lib/campaigns campaigns
COPY --from=build /opt/campaigns /opt/campaigns
ENV PATH=/opt/campaigns/bin:$PATH PYTHONUNBUFFERED=1
USER 10001
WORKDIR /var/lib/campaigns
# Celery stops warmly on SIGTERM: what is in flight is finished.
STOPSIGNAL SIGTERM
# For the command below; another command needs another probe (docs/operating.md).
HEALTHCHECK --interval=30s --timeout=20s --start-period=60s CMD ["campaigns", "alive", "--worker"]
CMD ["celery", "-A", "worker.app", "worker"]
