"""What a training is used for: chat, export, a server of many adapters, and A/B tests on it."""
