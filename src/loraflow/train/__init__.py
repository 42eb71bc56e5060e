"""Trains the adapter: the stage, TRL's trainer with our loss, and what it reports."""
