"""The base model: find it, load it, quantize it, attach the adapter."""
