"""What a scraper reads: this process's metrics, all workers' as one, Triton's names, the device's."""
