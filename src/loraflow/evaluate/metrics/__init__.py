"""Metric modules for Hugging Face `evaluate`, which offline cannot fetch its own."""
