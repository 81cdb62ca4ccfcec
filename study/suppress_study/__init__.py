"""What is run: the plan, the models, the attacks on them, what came out, and what follows from it."""
