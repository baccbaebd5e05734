# %% [markdown]
# # 06 · Several tasks
#
# This notebook predicts two things at once, whether a film is watched and whether it is then liked,
# and shows that the selector weighs the base models differently for each.
#
# It takes half a minute on 2 idle cores. **The settings are reduced** ([short.yaml](short.yaml),
# small networks and two epochs for each base model): the numbers show that it works, but not how
# good the models are. [Several tasks](../docs/how-to/multi-task.md) has a table with full settings.

# %%
import os
import warnings
from pathlib import Path

import matplotlib.pyplot as plt
import pandas as pd

from metaselector import MetaSelector
from metaselector.runs.run import Run

if Path.cwd().name == "notebooks":  # all paths start at the root of the repository
    os.chdir("..")
RUN = Path("runs/notebooks/several-tasks")

# %% [markdown]
# ## The data
#
# `movielens-100k-funnel` adds to each rated film one that the user never rated, drawn by
# popularity. Rated films are *watched*; *liked* means a rating of 4 or more, and is known only
# where the film was watched.

# %%
short = {"pretrain": {"epochs": 2}}
small = {"embedding_size": 8, "tower_sizes": [8]}
base_models = {
    "lr": short,
    "shared-bottom": {**short, "options": {**small, "bottom_sizes": [16]}},
    "mmoe": {**short, "options": {**small, "experts": 2, "expert_sizes": [16]}},
}
model = MetaSelector(base_models, config="notebooks/short.yaml", directory=RUN)
model = model.fit("movielens-100k-funnel")

# %%
dataset = Run(RUN, model.config).dataset
labels = pd.DataFrame(dataset.task_labels, columns=dataset.schema.tasks)
pd.DataFrame({"rows where it is known": labels.count(), "share of positives": labels.mean()})

# %% [markdown]
# ## The tables
#
# LR is a single-task model, so it is built twice, once per task. Shared-Bottom and MMoE share what
# they learn. Every task has its own table.

# %%
results = model.evaluate()
shown = ["lr", "shared-bottom", "mmoe", "uniform", "metaselector", "oracle-user"]
results.pivot(index="model", columns="task", values=["auc", "logloss"]).loc[shown].round(4)

# %% [markdown]
# ## Weights by task
#
# Mean weights over the rows of *test* where the task is known, and how much they vary from row to
# row (the standard deviation).

# %%
parts = [pd.read_parquet(RUN / f"task-{task}" / "weights.parquet") for task in labels]
weights = pd.concat(parts, keys=list(labels), names=["task"]).reset_index("task")
weights = weights[weights["model"] == "metaselector"]
table = weights.groupby(["base_model", "task"], sort=False)["weight"].agg(["mean", "std"]).unstack()
table.round(3)

# %%
fig, ax = plt.subplots(figsize=(6, 3), layout="constrained")
table["mean"].plot.bar(ax=ax, yerr=table["std"], capsize=3, rot=0)
ax.axhline(1 / len(table), color="black", linewidth=0.8, linestyle="--")
ax.set_ylim(0, 1)
ax.set_xlabel("")
ax.set_ylabel("weight (bar: mean, line: ± std)")
ax.legend(frameon=False)
plt.show()

# %% [markdown]
# The dashed line marks equal weights.
#
# ## One user
#
# Predictions have one column per task, in the order of the tasks. The probability of *liked* is
# conditional on watching the film; the product of both is the probability of both.

# %%
warnings.filterwarnings("ignore", "history: unknown to the model")  # as a new user is
history = pd.DataFrame(
    {
        "user": "someone new",
        "item": ["50", "181", "1", "258"],
        "watched": 1,
        "liked": [5, 4, 2, 5],  # the rating
        "timestamp": [889_000_000, 889_000_100, 889_000_200, 889_000_300],
    }
)
candidates = pd.DataFrame({"item": ["172", "100", "300"], "timestamp": 889_000_400})
user = model.adapt(history)
predicted = pd.DataFrame(user.predict(candidates), columns=dataset.schema.tasks)
predicted.assign(both=predicted.prod(axis=1)).set_axis(candidates["item"]).round(3)

# %%
user.weights.set_axis(candidates["item"]).round(3)

# %% [markdown]
# ## What to try next
#
# - The other multi-task models: `cgc`, `ple`, `esmm`, `aitm`, `rnr`, `mran`; [several
#   tasks](../docs/how-to/multi-task.md) describes each.
# - Adapt on one task alone: `adapt={"task_weights": {"watched": 0}}`.
# - Your own tasks: a schema with several `labels`, one `after` another if it is known only then
#   (05).
# - The settings intended for this data set:
#   `MetaSelector(directory="runs/funnel").fit("movielens-100k-funnel")`, which takes some minutes.
