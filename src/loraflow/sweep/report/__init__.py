"""The rank report: which r is enough, with its evidence, as a page, as text, in the terminal."""
