"""Makes token ids of records: what is read, and what of it is learned, task by task."""
