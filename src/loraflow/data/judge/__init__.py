"""Judging rows against each other: duplicates, conflicts, leaks, the split."""
