"""A trained adapter as others load it: alone, merged, in fewer bits, as GGUF; with a card."""
