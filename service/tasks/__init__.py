"""Tasks: an image in, a typed result out, through the engine. No protocol here either."""
