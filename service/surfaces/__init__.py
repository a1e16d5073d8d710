"""Surfaces: thin converters between a protocol and the tasks or the engine, all behind one gate."""
