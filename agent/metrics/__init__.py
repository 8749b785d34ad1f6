"""The figures of `health`, for Prometheus."""
