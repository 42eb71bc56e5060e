"""Champion, challenger and previous in MLflow's model registry, and the moves between them."""
