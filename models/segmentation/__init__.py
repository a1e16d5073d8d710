"""Segmentation networks: normalised images in, a logit for each class of each pixel out."""
