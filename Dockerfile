# Lintas as an image: `lintas-broker` (the hub) and `lintas` (an agency's program).
# Two stages: the first has the build back end, the second only what runs.

FROM python:3.13-slim AS build
ENV PIP_DISABLE_PIP_VERSION_CHECK=1 PIP_NO_CACHE_DIR=1 PIP_ROOT_USER_ACTION=ignore
WORKDIR /src
COPY requirements/ requirements/
RUN python -m venv /opt/build \
    && /opt/build/bin/python -m pip install --require-hashes -r requirements/build.txt \
    && python -m venv /opt/lintas \
    && /opt/lintas/bin/python -m pip install --require-hashes --only-binary :all: -r requirements/run.txt
# The project last: a change in it leaves the layers above alone.
COPY . .
RUN /opt/build/bin/python -m pip wheel --no-index --no-deps --no-build-isolation --wheel-dir /src/dist . \
    && /opt/lintas/bin/python -m pip install --no-index --no-deps /src/dist/*.whl \
    && /opt/lintas/bin/python -m pip uninstall --yes pip

FROM python:3.13-slim
# The folders exist with their owner, so that volumes mounted there begin with that owner.
RUN groupadd --gid 10001 lintas \
    && useradd --uid 10001 --gid lintas --no-create-home --home-dir /nonexistent --shell /usr/sbin/nologin lintas \
    && install --directory --owner=lintas --group=lintas --mode=0700 /data /data/agencies \
        /secrets/agencies /secrets/hub-1 /secrets/hub-2 /secrets/tls \
    # Read by the database's user, from a volume that only its container is given.
    && install --directory --owner=lintas --group=lintas --mode=0755 /secrets/database
COPY --from=build /opt/lintas /opt/lintas
ENV PATH=/opt/lintas/bin:$PATH PYTHONUNBUFFERED=1 PYTHONDONTWRITEBYTECODE=1 LINTAS_DATA=/data
USER 10001:10001
WORKDIR /data
EXPOSE 8470
# By default it listens inside the container only; publish it where a TLS proxy stands.
CMD ["lintas-broker", "serve", "--host", "0.0.0.0", "--port", "8470"]
