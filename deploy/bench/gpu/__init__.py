"""What a CUDA device gives, measured on it: ``make bench-gpu``. No figure of it exists where none is at hand."""
