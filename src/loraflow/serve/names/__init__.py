"""Which name of the API is which adapter, from one moment to the next."""
