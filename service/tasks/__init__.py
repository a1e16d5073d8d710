"""Tasks: they take an image or a text and return a typed result, using the engine. Nothing here knows a protocol."""
