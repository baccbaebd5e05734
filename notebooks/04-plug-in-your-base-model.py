# %% [markdown]
# # 04 · Plug in your own base model
#
# This notebook writes a base model in 15 lines, lets `check_base_model` find a mistake in it, and
# trains it with LR and FM to see what weight MetaSelector gives it.
#
# It takes half a minute on 2 idle cores. **The settings are reduced** ([short.yaml](short.yaml),
# and at most 4 epochs for each base model): the numbers show that it works, but not how good the
# models are.

# %%
import os
from collections.abc import Sequence
from pathlib import Path
from typing import ClassVar

import matplotlib.pyplot as plt
import pandas as pd
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from base_models import BaseModel, Batch
from metaselector import MetaSelector
from metaselector.models.registry import register
from metaselector.testing import check_base_model

if Path.cwd().name == "notebooks":  # all paths start at the root of the repository
    os.chdir("..")
RUN = Path("runs/notebooks/own-model")

# %% [markdown]
# ## A model
#
# A row arrives as slots, which are pairs of an id and a value: the user, the film, each of its
# genres, each film in the history. A base model maps ids and values `[..., B, C]` to logits `[...,
# B]`. This one gives every id a scalar effect and a vector, and multiplies the user's vector with
# the film's: matrix factorization.


# %%
class Taste(BaseModel):
    """``logit = bias + effect[user] + effect[item] + <taste[user], taste[item]>``."""

    fields: ClassVar = {"user_field": "user", "item_field": "item"}  # passed as positions

    def __init__(
        self, num_ids: int, slot_fields: Sequence[int], user_field: int, item_field: int
    ) -> None:
        super().__init__(num_ids, slot_fields)
        self.slots = [list(slot_fields).index(field) for field in (user_field, item_field)]
        self.effect = nn.Parameter(torch.zeros(num_ids, 1))
        self.taste = nn.Parameter(0.1 * torch.randn(num_ids, 8))
        self.bias = nn.Parameter(torch.zeros(1))

    def forward(self, batch: Batch) -> Tensor:
        ids, values = (slots[..., self.slots] for slots in batch)  # [..., B, 2]
        effects = (F.embedding(ids, self.effect).squeeze(-1) * values).sum(-1)
        tastes = F.embedding(ids, self.taste) * values.unsqueeze(-1)  # [..., B, 2, 8]
        return self.bias + effects + tastes.prod(-2).sum(-1)


# %% [markdown]
# ## Check it
#
# The check runs the model on random slots: shapes, gradients, adaptation to each user, saving. It
# stops at the first error and says how to fix it.

# %%
try:
    check_base_model(Taste)
except AssertionError as mistake:
    print(mistake)

# %% [markdown]
# The engine adapts single rows of the tables that a model declares. So declare them:

# %%
Taste.tables = ("effect", "taste")
check_base_model(Taste)
print("no complaints")

# %% [markdown]
# ## Train with it
#
# Once registered under a name, it is a base model like any other: it is pretrained, adapted and
# weighed. A class in a file needs no registration: `base_models={"taste": {"model":
# "path/to/file.py:Taste"}}`.

# %%
register("taste", Taste)
short = {"pretrain": {"epochs": 4}}
base_models = {"lr": short, "fm": short, "taste": short}
model = MetaSelector(base_models, config="notebooks/short.yaml", directory=RUN)
results = model.fit("movielens-100k").evaluate()
shown = ["lr", "fm", "taste", "uniform", "metaselector-simplified", "metaselector", "oracle-user"]
results.set_index("model").loc[shown, ["auc", "logloss"]].round(4)

# %% [markdown]
# ## Its weight
#
# The weight of each base model in every prediction of the test window. With equal weights, each
# would have a third (the line).

# %%
weights = pd.read_parquet(RUN / "weights.parquet")
weights = weights[weights["model"] == "metaselector"]
by_model = weights.groupby("base_model", sort=False)["weight"]
by_model.agg(["mean", "std", "min", "max"]).round(3)

# %%
fig, ax = plt.subplots(figsize=(6, 3), layout="constrained")
for name, part in by_model:
    ax.hist(part, bins=60, range=(0, 1), histtype="step", linewidth=1.5, label=name)
ax.axvline(1 / 3, color="black", linewidth=0.8)
ax.set_xlim(0, 1)
ax.set_xlabel("weight in the prediction of a test row")
ax.set_ylabel("test rows")
ax.legend(frameon=False)
plt.show()

# %% [markdown]
# ## What to try next
#
# - Make it worse or better: use `0.1 * torch.randn(num_ids, 32)`, or drop `effect`, and run
#   everything again. Choose another `RUN` or another name: a class in a notebook is identified by
#   its name alone, so models trained under that name would be reused.
# - Leave out `config` and `short`, and add DeepFM.
# - Selectors, inner rules, data sets and metrics plug in the same way; `metaselector plugins` lists
#   them all. [examples/plugin](../examples/plugin) is a package with a base model.
# - Without PyTorch: a file of another system's scores can be a base model ([models of other
#   libraries](../docs/how-to/other-libraries.md)).
