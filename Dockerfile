# One image for every process of ours on the server (docker-compose.yaml), and for the `etl` command.
FROM node:24-slim AS view
WORKDIR /src/ui
COPY etl_lib/view/ui/package.json etl_lib/view/ui/package-lock.json etl_lib/view/ui/.npmrc ./
RUN npm ci
COPY etl_lib/view/ui ./
RUN npm run build

FROM python:3.11-slim-bookworm AS build
ENV UV_COMPILE_BYTECODE=1 UV_LINK_MODE=copy
RUN python -m venv /opt/etl/.venv && /opt/etl/.venv/bin/pip install --no-cache-dir uv
WORKDIR /opt/etl
COPY requirements.txt ./
RUN .venv/bin/uv pip install --no-cache --python .venv/bin/python -r requirements.txt

FROM python:3.11-slim-bookworm
# a new volume takes owner and mode of the image's folder at its place
RUN useradd --uid 50000 --user-group --create-home --home-dir /home/airflow airflow \
 && mkdir -p /data /var/lib/etl/bundles /var/lib/etl/sftp /home/airflow/logs \
 && chown -R airflow:airflow /data /var/lib/etl /home/airflow
ENV PATH=/opt/etl/.venv/bin:$PATH \
    PYTHONPATH=/opt/etl:/opt/etl/deploy/config \
    PYTHONUNBUFFERED=1 \
    AIRFLOW_HOME=/home/airflow \
    AIRFLOW__CORE__DAGS_FOLDER=/opt/etl/dags \
    AIRFLOW__CORE__PLUGINS_FOLDER=/opt/etl/plugins \
    ETL_HOME=/home/airflow/etl
WORKDIR /opt/etl
COPY --from=build /opt/etl/.venv .venv
COPY dags dags
COPY plugins plugins
COPY include include
COPY etl_lib etl_lib
COPY --from=view /src/static etl_lib/view/static
COPY etl_hooks etl_hooks
COPY deploy deploy
RUN printf '#!/bin/sh\nexec python -m etl_lib.cli "$@"\n' > /usr/local/bin/etl && chmod 755 /usr/local/bin/etl
USER airflow
