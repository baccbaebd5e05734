"""Numbers of a training, for whoever watches it: :mod:`tracker` is the contract.

``logs/training.jsonl`` is always written. TensorBoard, MLflow and Weights & Biases are optional,
named in the setting ``tracking``, as is anything of one's own.
"""
