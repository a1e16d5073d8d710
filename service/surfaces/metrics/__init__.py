"""The metrics page: this process's metrics or all workers' together, Triton's names, the device's figures."""
