# %% [markdown]
# # 03 · Where selection helps
#
# This notebook asks how much you can gain by choosing among base models for each user, how much of
# that gain is luck, and whose predictions MetaSelector improves.
#
# It takes a quarter of a minute if notebook 01 has run; otherwise it first trains and evaluates the
# same models, which takes about 5 minutes on 2 idle cores.

# %%
import os
from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd

from metaselector import MetaSelector
from metaselector.evaluate.analysis.breakdown import best_on_valid, breakdown, improvements
from metaselector.evaluate.analysis.heterogeneity import heterogeneity
from metaselector.evaluate.analysis.row_facts import row_facts
from metaselector.evaluate.metrics import logloss
from metaselector.evaluate.oracles import oracle_sample, oracle_user
from metaselector.evaluate.predictions import load_predictions
from metaselector.report.figures.users import FACT_TITLES
from metaselector.runs.run import Run

if Path.cwd().name == "notebooks":  # all paths start at the root of the repository
    os.chdir("..")
RUN = Path("runs/notebooks/movielens-100k")

# %%
model = MetaSelector(seed=0, directory=RUN).fit("movielens-100k")
trained = max(path.stat().st_mtime for path in RUN.glob("checkpoints/*/*"))
predictions = RUN / "predictions.parquet"
if not predictions.exists() or predictions.stat().st_mtime < trained:
    model.evaluate()
test = load_predictions(predictions)
valid = load_predictions(RUN / "valid_predictions.parquet")
base_models = list(model.config.base_models)

# %% [markdown]
# ## Users differ
#
# The share of users for whom each base model has the lowest logloss, on *valid* and on *test*. Each
# model is the best one for some users.

# %%
users = heterogeneity(valid, test, base_models)
best = users.best[users.best["fitted_on"] == "train"]  # the same models in both windows
best.pivot(index="model", columns="window", values="share").loc[base_models].round(3)

# %% [markdown]
# Does it last? `kept` is the share of users with the same best model in both windows, `chance` is
# the share that independent choices would keep, and `kappa` is 0 for chance and 1 for always.

# %%
users.stability.set_index("fitted_on")[["users", "kept", "chance", "kappa"]].round(3)

# %% [markdown]
# ## Oracles
#
# An oracle knows the answers. One picks the best base model for every row, the other for every
# user. Both are computed here from the predictions of the base models and compared with methods
# that do not know the answers.

# %%
wide = test.pivot(index=["user", "row", "y"], columns="model", values="p").reset_index()
y, p = wide["y"].to_numpy(), wide[base_models].to_numpy()
single = best_on_valid(valid)[0]  # for seed 0
ladder = {f"best single model ({single})": logloss(y, wide[single])}
for name in ("uniform", "metaselector-simplified", "metaselector"):
    ladder[name] = logloss(y, wide[name])
ladder["oracle by user"] = logloss(y, oracle_user(y, p, wide["user"])[0])
ladder["oracle by row"] = logloss(y, oracle_sample(y, p)[0])

fig, ax = plt.subplots(figsize=(6.5, 2.8), layout="constrained")
colours = ["tab:grey", "tab:grey", "tab:orange", "tab:orange", "black", "black"]
bars = ax.barh(list(ladder), list(ladder.values()), color=colours)
ax.bar_label(bars, fmt="%.4f", padding=3, fontsize=8)
ax.invert_yaxis()
ax.set_xlim(0, max(ladder.values()) * 1.15)
ax.set_xlabel("logloss on test (lower is better)")
plt.show()

# %% [markdown]
# ## How much of the oracle is luck
#
# On a user's few rows, some base model fits best by chance, and the oracle takes the credit. So let
# it choose on every other row of a user and score the choice on the rows in between, and vice
# versa. This still uses answers from the same window, so it is an easier test than real life.

# %%
odd = wide.groupby("user").cumcount() % 2 == 1
crossed = np.full(len(wide), np.nan)
for chosen_on in (odd, ~odd):
    seen, scored = wide[chosen_on], wide[~chosen_on]
    losses = -np.log(np.where(seen[["y"]] == 1, seen[base_models], 1 - seen[base_models]))
    by_user = pd.DataFrame(losses, columns=base_models).groupby(seen["user"].to_numpy()).mean()
    choice = by_user.idxmin(axis=1).reindex(scored["user"]).fillna(single)
    places = [base_models.index(name) for name in choice]
    crossed[~chosen_on] = scored[base_models].to_numpy()[np.arange(len(scored)), places]
half = {
    f"best single model ({single})": logloss(y, wide[single]),
    "chosen by user on the other rows": logloss(y, crossed),
    "chosen by user on the same rows (oracle)": ladder["oracle by user"],
}
half = pd.Series(half, name="logloss").to_frame()
half["gain"] = half["logloss"].iloc[0] - half["logloss"]
half.round(4)

# %% [markdown]
# A gain below 0 means that one model for all users would have done better than the choice. The
# oracle's gain is what you could win if you knew the answers of the scored rows.
#
# ## Who gains
#
# The logloss that MetaSelector saves over the best single model, by properties of users and rows;
# 95 % intervals by bootstrap over users. Above 0, MetaSelector is better.

# %%
models = ["metaselector-simplified", "metaselector"]
improved = improvements(test, best_on_valid(valid), models)
run = Run(RUN, model.config)
facts = row_facts(run.dataset, model.config.split)
table = breakdown(improved, facts, 1000, np.random.default_rng(0))

shown = list(dict.fromkeys(table["fact"]))
fig, panels = plt.subplots(2, 2, figsize=(9, 5.6), sharey=True, layout="constrained")
for ax, fact in zip(panels.flat, shown, strict=True):
    for shift, name in zip((-0.1, 0.1), models, strict=True):
        part = table[(table["fact"] == fact) & (table["model"] == name)]
        reach = [part["improvement"] - part["low"], part["high"] - part["improvement"]]
        ax.errorbar(
            part["bin"] + shift, part["improvement"], reach, fmt="o", markersize=4, label=name
        )
    spans = [f"{low:.3g} to\n{high:.3g}" for low, high in part[["from", "to"]].to_numpy()]
    ax.set_xticks(part["bin"], spans, fontsize=7)
    ax.axhline(0, color="black", linewidth=0.8)
    ax.set_title(FACT_TITLES[fact], fontsize=9)
fig.supylabel("logloss saved, mean over rows", fontsize=9)
panels[0, 0].legend(frameon=False, fontsize=8)
plt.show()

# %% [markdown]
# By user: the share of users with a lower mean logloss than with the best single model.

# %%
gain = improved.groupby("user").mean()
fig, ax = plt.subplots(figsize=(6, 3.2), layout="constrained")
for name in models:
    share = (gain[name] > 0).mean()
    ax.ecdf(gain[name], label=f"{name}: {share:.0%} of users gain")
ax.axvline(0, color="black", linewidth=0.8)
ax.set_xlim(*np.quantile(gain, [0.01, 0.99]))
ax.set_xlabel("logloss saved, mean over the user's test rows")
ax.set_ylabel("share of users")
ax.legend(frameon=False, fontsize=8)
plt.show()

# %% [markdown]
# ## What to try next
#
# - More of this, with calibration and the cost of training: `metaselector analyse --run
#   runs/notebooks/movielens-100k`, which writes `analysis/summary.md`.
# - Base models that are more alike, so that there is less to select:
#   `MetaSelector(["lr", "fm", "deepfm"], ...)`.
# - New users: `MetaSelector(protocol="cold", ...)`.
# - 04 adds your own base model.
