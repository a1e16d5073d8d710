"""What crosses the wire, and the stubs protoc makes of it."""
