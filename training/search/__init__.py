"""Several runs of a recipe: searches, folds, bags, and the range of learning rates."""
