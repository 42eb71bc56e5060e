"""From any instruction file to token ids: read, clean, split, template, tokenize."""
