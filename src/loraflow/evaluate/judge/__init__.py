"""Who says how good an answer is, and whether to believe them."""
