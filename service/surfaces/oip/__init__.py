"""The Open Inference Protocol: one engine's tensors over REST and gRPC."""
