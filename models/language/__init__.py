"""Recognition of a text's language (I2DL XI.2, many to one)."""
