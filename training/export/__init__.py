"""From a network to an ONNX file: traced, folded, its weights stored small, and proved against torch."""
