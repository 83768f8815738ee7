"""The view inside Airflow: a JSON API over what is recorded about runs, and the app that shows it."""
