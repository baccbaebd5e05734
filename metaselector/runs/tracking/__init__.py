"""Where training logs its values; :mod:`tracker` is the contract.

``logs/training.jsonl`` is always written. The setting ``tracking`` adds TensorBoard, MLflow,
Weights & Biases or a tracker of your own.
"""
