"""Several processes that train as one, on PyTorch's own distributed engine."""
