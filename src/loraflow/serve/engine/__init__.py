"""One base in memory, many adapters, and answers to all who ask, written side by side."""
