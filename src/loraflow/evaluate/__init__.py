"""Measures a model on the held-out rows: its answers, and how likely it finds the right ones."""
