"""Several processes that train one model, on PyTorch's distributed package.

Start with :mod:`~metaselector.training.distributed.workers`.
"""
