"""MT-Bench as FastChat has it: two-turn questions, answers, judgments and their scores."""
