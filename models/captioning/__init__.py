"""A sentence for an image: encoders, decoders, and the frame that joins them (I2DL XI-XII.1)."""
