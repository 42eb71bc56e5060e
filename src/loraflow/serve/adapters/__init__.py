"""Which adapter is meant by a name, and where its files are."""
