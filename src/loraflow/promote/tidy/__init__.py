"""Keeps local files within a disk budget; what is needed never goes."""
