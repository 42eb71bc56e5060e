"""Nights: what is new, whether it is better, and what is in use."""
