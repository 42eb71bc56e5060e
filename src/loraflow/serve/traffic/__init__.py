"""Two adapters against each other: who gets which, what users say of it, and what follows."""
