#!/bin/sh
# Before anything else starts: the tables of both databases, and the first administrator. May be repeated.
set -eu
airflow db migrate
etl migrate
airflow users create --role Admin --username admin --password "${AIRFLOW_ADMIN_PASSWORD}" \
  --firstname First --lastname Administrator --email admin@localhost
