"""One command for the embedded profile: prepares the database, then runs web, drainer, worker and MLflow together."""
