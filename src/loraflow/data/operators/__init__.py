"""What cleaning can do to a row: one class an operator, its parameters the keys in `conf/`."""
