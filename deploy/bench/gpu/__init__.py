"""The benchmark on a CUDA device: ``make bench-gpu``. It needs a device; without one there are no figures."""
