"""Image captioning: an encoder, decoders, and the network that joins them (I2DL XI-XII.1)."""
