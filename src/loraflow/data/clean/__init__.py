"""Cleaning row by row, in several processes, and what is noted to compare the rows later."""
