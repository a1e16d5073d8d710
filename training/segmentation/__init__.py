"""Training segmentation networks: from the recipe to the package."""
