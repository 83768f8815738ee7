"""All that knows Airflow: DAGs and tasks, connections, bundle, roles, the scheduler and the api-server."""
