"""A sweep: the space of its trials, the search, what became of each, and the rank report."""
