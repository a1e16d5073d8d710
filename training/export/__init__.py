"""Turns a network into an ONNX file: traces it, folds it, stores its weights small, and compares it with torch."""
