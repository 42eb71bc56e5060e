"""Answers many prompts at once, each as if it were alone."""
