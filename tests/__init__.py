"""Tests, in the same tree as `src/loraflow`."""
