"""Text to its language (I2DL XI.2, many to one)."""
