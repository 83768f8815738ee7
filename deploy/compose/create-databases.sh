#!/bin/sh
# Runs once, when the server's data folder is empty: one role and one database for each of the two.
set -eu
for name in airflow etl; do
  variable=$(echo "${name}" | tr '[:lower:]' '[:upper:]')_DATABASE_PASSWORD
  eval "password=\$${variable}"
  psql --username postgres --set ON_ERROR_STOP=1 --set name="${name}" --set password="${password}" <<'SQL'
CREATE ROLE :"name" LOGIN PASSWORD :'password';
CREATE DATABASE :"name" OWNER :"name";
SQL
done
