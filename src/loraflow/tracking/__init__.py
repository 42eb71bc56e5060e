"""MLflow: one run an experiment, with all that it takes to compare it and to run it again."""
