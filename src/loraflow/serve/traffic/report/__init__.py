"""An A/B test as a page, and in the terminal."""
