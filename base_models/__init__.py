"""Base recommenders, one a file, torch only."""

from base_models.contract import BaseModel, Batch
from base_models.deepfm import DeepFM
from base_models.fm import FM
from base_models.lr import LR

__all__ = ["FM", "LR", "BaseModel", "Batch", "DeepFM"]
