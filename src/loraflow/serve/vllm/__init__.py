"""The same names on a vLLM server: what to start it with, and how its adapters are moved."""
