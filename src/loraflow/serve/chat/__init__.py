"""A conversation in the terminal, with one adapter or two side by side."""
