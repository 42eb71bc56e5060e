"""The stages of a run and the key of each, known before any of them runs."""
