"""From any file to records: find it, unpack it, read its rows, know their layout."""
