#!/bin/sh
# Runs once, when the server's data folder is empty: one role and one database for each of the two.
# psql takes the password from the environment: arguments are seen by every user of the machine.
set -eu
for name in airflow etl; do
  variable=$(echo "${name}" | tr '[:lower:]' '[:upper:]')_DATABASE_PASSWORD
  psql --no-psqlrc --username postgres --set ON_ERROR_STOP=1 --set name="${name}" <<SQL
\getenv password ${variable}
CREATE ROLE :"name" LOGIN PASSWORD :'password';
CREATE DATABASE :"name" OWNER :"name";
REVOKE CONNECT ON DATABASE :"name" FROM PUBLIC;
SQL
done
