"""Tasks: an image or a text in, a typed result out, through the engine. No protocol here either."""
