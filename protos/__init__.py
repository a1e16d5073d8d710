"""The gRPC protocols, and the stubs that protoc generates from them."""
