"""The gate: evidence on two arms, the decision, and the guards that can forbid it."""
