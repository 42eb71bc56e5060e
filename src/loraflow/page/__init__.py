"""What all HTML pages share: their frame, their look, and how they show texts and numbers."""
