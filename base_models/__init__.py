"""Base recommenders, one per file. They depend on torch only.

Each model spells out its constructor, although many are alike, so its options and their defaults
can be read in one place and copied with it.
"""

from base_models.additive import Additive
from base_models.aitm import AITM
from base_models.cgc import CGC
from base_models.contract import BaseModel, Batch, MultiTaskModel, Task, TaskLosses
from base_models.deepfm import DeepFM
from base_models.esmm import ESMM
from base_models.fm import FM
from base_models.itemknn import ItemKNN
from base_models.lr import LR
from base_models.mmoe import MMoE
from base_models.mran import MRAN
from base_models.per_task import PerTask
from base_models.ple import PLE
from base_models.rnr import RnR
from base_models.sequence import SequenceAttention
from base_models.shared_bottom import SharedBottom
from base_models.single_task import SingleTask

__all__ = [
    "AITM",
    "CGC",
    "ESMM",
    "FM",
    "LR",
    "MRAN",
    "PLE",
    "Additive",
    "BaseModel",
    "Batch",
    "DeepFM",
    "ItemKNN",
    "MMoE",
    "MultiTaskModel",
    "PerTask",
    "RnR",
    "SequenceAttention",
    "SharedBottom",
    "SingleTask",
    "Task",
    "TaskLosses",
]
