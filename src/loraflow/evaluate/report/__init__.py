"""The evaluation report: scores, judges and answers of one run, put on a page by a template."""
