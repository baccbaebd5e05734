# %% [markdown]
# # 01 · Reproduce the table
#
# This notebook trains everything behind the results table in the README, for one seed and with the
# default settings, starting from the raw files of MovieLens-100K.
#
# It takes about 5 minutes on 2 idle cores. The trained models stay in
# `runs/notebooks/movielens-100k`: the second time it takes half a minute, and notebooks 02 and 03
# start from there.

# %%
import os
from pathlib import Path

import matplotlib.pyplot as plt
import pandas as pd

from metaselector import MetaSelector
from metaselector.report.figures.results import comparison
from metaselector.report.figures.training import learning_curves

if Path.cwd().name == "notebooks":  # all paths start at the root of the repository
    os.chdir("..")
RUN = Path("runs/notebooks/movielens-100k")
# %matplotlib inline

# %% [markdown]
# ## Train
#
# `fit` downloads the data if necessary, prepares it, trains the default base models on
# three windows of time, and meta-trains MetaSelector on them. `evaluate` predicts every user's last
# 10 % of rows with all models, scores the predictions, and returns the table.

# %%
model = MetaSelector(seed=0, directory=RUN).fit("movielens-100k")
results = model.evaluate()

# %% [markdown]
# ## The table
#
# `rela_impr` is the gain in AUC over the single model that is best on *valid*, in percent.
# `gap_closed_logloss` is the share closed of the gap between that model and the oracle, which picks
# each user's best base model with knowledge of the answers.

# %%
columns = ["auc", "logloss", "rela_impr", "gauc", "gap_closed_logloss"]
results.set_index("model")[columns].round(4)

# %% [markdown]
# The same as a figure. Dots are models; lines are the two oracles, which read the answers, so no
# real method can use them.

# %%
figure = comparison(results)
figure.dpi = 80
figure

# %% [markdown]
# ## How certain it is
#
# The logloss of joint MetaSelector minus that of each other row, with 95 % intervals by paired
# bootstrap over users. Below 0, MetaSelector is better. The intervals reflect which users were
# sampled, not seed noise: for that, the README has five seeds.

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
# The loss by epoch of everything that was trained. Each model keeps the epoch that was best on
# *valid*.

# %%
figure = learning_curves(pd.read_csv(RUN / "history.csv"))
figure.dpi = 66
figure

# %% [markdown]
# The run keeps every prediction, weight and learned rate, so you can ask further questions without
# training again.

# %%
sorted(path.name for path in RUN.iterdir() if path.is_file())

# %% [markdown]
# The numbers may differ from those in the README. Its table has five seeds with one thread each;
# this is one seed with two threads. The thread count changes the order of summation, so early
# stopping may pick another epoch.
#
# ## What to try next
#
# - Another seed: `MetaSelector(seed=1, directory="runs/notebooks/seed-1")`.
# - Three inner steps instead of two: `MetaSelector(adapt={"steps": 3}, directory=...)`. Base models
#   that already exist in the directory are not trained again. `metaselector config` prints all
#   settings.
# - New users, whom the base models have never seen: `protocol="cold"`.
# - The same from the command line, with figures: `metaselector reproduce`.
# - 02 looks at one user, 03 at where selection helps.
