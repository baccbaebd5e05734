"""Where the numbers of a training are logged; :mod:`tracker` is the contract.

``logs/training.jsonl`` is always written. The setting ``tracking`` adds TensorBoard, MLflow,
Weights & Biases or a tracker from a file.
"""
