"""An experiment run again from what MLflow has of it, and what comes out otherwise."""
