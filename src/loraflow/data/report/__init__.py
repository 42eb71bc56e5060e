"""The data report: numbers, texts and drawings of one run, put on a page by a template."""
