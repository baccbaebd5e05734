# %% [markdown]
# # 01 · Reproduce the table
#
# This notebook trains everything behind the results table of the README, for one seed and with the
# default settings, from the raw files of MovieLens-100K.
#
# It takes 2 to 3 minutes on 2 idle cores. What is trained stays in
# `runs/notebooks/movielens-100k`: the second time it takes half a minute, and notebooks 02 and 03
# start from it.

# %%
import os
from pathlib import Path

import matplotlib.pyplot as plt
import pandas as pd

from metaselector import MetaSelector
from metaselector.report.figures.results import comparison
from metaselector.report.figures.training import learning_curves

if Path.cwd().name == "notebooks":  # all paths are from the root of the repository
    os.chdir("..")
RUN = Path("runs/notebooks/movielens-100k")
# %matplotlib inline

# %% [markdown]
# ## Train
#
# `fit` fetches the data if need be, prepares them, trains the base models (LR, FM and DeepFM) on
# three windows of time, and meta-trains MetaSelector on them. `evaluate` predicts every user's
# last 10 % of rows with all models, scores them, and returns the table.

# %%
model = MetaSelector(seed=0, directory=RUN).fit("movielens-100k")
results = model.evaluate()

# %% [markdown]
# ## The table
#
# `rela_impr` is the gain in AUC over the best single model on *valid*, in percent.
# `gap_closed_logloss` is the share of the way from that model to the oracle that picks each user's
# best base model having seen the answers.

# %%
columns = ["auc", "logloss", "rela_impr", "gauc", "gap_closed_logloss"]
results.set_index("model")[columns].round(4)

# %% [markdown]
# The same as a picture. Dots are models, lines are the two oracles, which no method can use.

# %%
figure = comparison(results)
figure.dpi = 120
figure

# %% [markdown]
# ## How sure it is
#
# The logloss of joint MetaSelector minus that of each other row, with 95 % intervals by paired
# bootstrap over users. Below 0, MetaSelector is better. The intervals say what other users would
# have changed, not what another seed would: for that the README has five.

# %%
differences = pd.read_csv(RUN / "differences.csv")
of_logloss = differences["metric"] == "logloss"
ours = differences[of_logloss & (differences["model"] == "metaselector")]
ours = ours[ours["family"] == "metaselector"].set_index("baseline")

fig, ax = plt.subplots(figsize=(6, 4.5), dpi=80, layout="constrained")
middle = ours["difference"]
reach = [middle - ours["low"], ours["high"] - middle]
ax.errorbar(middle, range(len(ours)), xerr=reach, fmt="o", markersize=4, capsize=2)
ax.axvline(0, color="black", linewidth=0.8)
ax.set_yticks(range(len(ours)), ours.index)
ax.invert_yaxis()
ax.set_xlabel("logloss of MetaSelector − logloss of the row")
ax.set_title("Joint MetaSelector beside every other row")
plt.show()

# %%
print("rows that joint MetaSelector beats, whole interval below 0:", (ours["high"] < 0).sum())
print("rows that it does not:", ", ".join(ours.index[ours["high"] >= 0]) or "none")

# %% [markdown]
# ## How it learned
#
# Loss by epoch of what was trained. Each model keeps the epoch that was best on *valid*.

# %%
figure = learning_curves(pd.read_csv(RUN / "history.csv"))
figure.dpi = 100
figure

# %% [markdown]
# The run keeps every prediction, weight and learned rate, so that nothing has to be trained again
# to ask another question of it.

# %%
sorted(path.name for path in RUN.iterdir() if path.is_file())

# %% [markdown]
# The numbers need not be those of the README to the last digit. Its table is of five seeds with
# one thread each; this is one seed with two. Sums are rounded otherwise then, and another epoch
# may turn out best.
#
# ## What to try next
#
# - Another seed: `MetaSelector(seed=1, directory="runs/notebooks/seed-1")`.
# - Three inner steps instead of two: `MetaSelector(adapt={"steps": 3}, directory=...)`. Base
#   models that are in the directory already are not trained again. `metaselector config` prints
#   all settings.
# - New users, whom base models have never seen: `protocol="cold"`.
# - The same from the command line, with figures: `metaselector reproduce`.
# - 02 looks at one user, 03 at where selection helps.
