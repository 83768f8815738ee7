# One image for every Airflow process of the server (docker-compose.yaml) and for the `etl` command.
FROM python:3.12-slim AS build
ENV UV_COMPILE_BYTECODE=1 UV_LINK_MODE=copy
RUN python -m venv /opt/etl/.venv && /opt/etl/.venv/bin/pip install --no-cache-dir uv
WORKDIR /opt/etl
COPY requirements.txt ./
RUN .venv/bin/uv pip install --no-cache --python .venv/bin/python -r requirements.txt

FROM python:3.12-slim
RUN useradd --uid 50000 --gid 0 --create-home --home-dir /home/airflow airflow
ENV PATH=/opt/etl/.venv/bin:$PATH \
    PYTHONPATH=/opt/etl:/opt/etl/deploy/config \
    AIRFLOW_HOME=/home/airflow \
    AIRFLOW__CORE__DAGS_FOLDER=/opt/etl/dags \
    AIRFLOW__CORE__PLUGINS_FOLDER=/opt/etl/plugins \
    ETL_INCLUDE=/opt/etl/include
WORKDIR /opt/etl
COPY --from=build /opt/etl/.venv .venv
COPY dags dags
COPY plugins plugins
COPY include include
COPY etl_lib etl_lib
COPY etl_hooks etl_hooks
COPY deploy deploy
RUN printf '#!/bin/sh\nexec python -m etl_lib.cli "$@"\n' > /usr/local/bin/etl && chmod 755 /usr/local/bin/etl
USER airflow
