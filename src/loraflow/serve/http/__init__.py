"""An HTTP API in OpenAI's shape over the engine."""
