"""Base recommenders, one a file, torch only."""

from base_models.additive import Additive
from base_models.contract import BaseModel, Batch, MultiTaskModel, Task, TaskLosses
from base_models.deepfm import DeepFM
from base_models.fm import FM
from base_models.itemknn import ItemKNN
from base_models.lr import LR
from base_models.sequence import SequenceAttention

__all__ = [
    "FM",
    "LR",
    "Additive",
    "BaseModel",
    "Batch",
    "DeepFM",
    "ItemKNN",
    "MultiTaskModel",
    "SequenceAttention",
    "Task",
    "TaskLosses",
]
