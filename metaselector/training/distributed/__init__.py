"""Train with several processes on torch.distributed."""
