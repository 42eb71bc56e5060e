"""How much memory and time a training will take, known from the model's config.json alone."""
