"""What a night does, in order; `flows/nightly.py` is the flow around it."""
