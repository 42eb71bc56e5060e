"""How far tonight's training rows are from the last ones."""
