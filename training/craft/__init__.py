"""The craft of training: each table of a recipe, beside what it builds."""
