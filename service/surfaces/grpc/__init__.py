"""gRPC: the server, the tasks' methods, and how calls are answered and refused."""
