"""gRPC: the tasks."""
