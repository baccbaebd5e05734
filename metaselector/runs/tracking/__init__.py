"""Log the metrics of training; :mod:`tracker` is the contract.

``logs/training.jsonl`` is always written. The setting ``tracking`` adds TensorBoard, MLflow,
Weights & Biases, or trackers of your own.
"""
