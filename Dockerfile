# The production image: no embedded servers, no tools, an unprivileged user.
FROM python:3.13-slim AS build
WORKDIR /src
COPY requirements/production.lock requirements/production.lock
RUN python -m venv /opt/campaigns \
 && /opt/campaigns/bin/pip install --no-cache-dir --require-hashes -r requirements/production.lock
COPY pyproject.toml README.md LICENSE CHANGELOG.md celeryconfig.py ./
COPY campaigns campaigns
COPY worker worker
RUN /opt/campaigns/bin/pip install --no-cache-dir --no-deps .

FROM python:3.13-slim
RUN useradd --system --create-home --home-dir /var/lib/campaigns campaigns
COPY --from=build /opt/campaigns /opt/campaigns
ENV PATH=/opt/campaigns/bin:$PATH PYTHONUNBUFFERED=1
USER campaigns
WORKDIR /var/lib/campaigns
# Celery stops warmly on SIGTERM: what is in flight is seen to its end.
STOPSIGNAL SIGTERM
CMD ["celery", "-A", "worker.app", "worker"]
