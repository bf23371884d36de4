# Prometheus, its exporter for PostgreSQL, and Alertmanager, as Debian has them.  docker/compose.yaml runs each of them in a
# container of its own.
FROM debian:bookworm-slim
COPY test/packages.sh /tmp/
RUN apt-get update && /tmp/packages.sh install monitoring \
	&& rm -rf /tmp/packages.sh /var/lib/apt/lists/* /var/cache/apt/*.bin \
	&& install -d -o nobody /prometheus /alertmanager
USER nobody
