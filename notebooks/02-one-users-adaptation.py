# %% [markdown]
# # 02 · One user's adaptation
#
# This notebook follows MetaSelector as it adapts to one user of MovieLens-100K: how the weights and
# the predictions change as it sees more of the user's rows, and which rows changed them.
#
# It takes half a minute if notebook 01 has run; otherwise it first trains the same models, which
# takes about 3 minutes on 2 idle cores.

# %%
import os
import warnings
from pathlib import Path

import matplotlib.pyplot as plt
import pandas as pd

from metaselector import MetaSelector
from metaselector.data.fetch import fetch
from metaselector.data.registry import read
from metaselector.evaluate.metrics import logloss
from metaselector.inference.explanation import explain_user
from metaselector.runs.run import Run

if Path.cwd().name == "notebooks":  # all paths start at the root of the repository
    os.chdir("..")
RUN = Path("runs/notebooks/movielens-100k")
USER = "42"  # chosen arbitrarily
plt.rcParams["figure.dpi"] = 80  # small files
warnings.filterwarnings("ignore", ".*: unknown to the model")  # as a few films are

# %%
model = MetaSelector(seed=0, directory=RUN).fit("movielens-100k")
raw = read("movielens-100k", fetch("movielens-100k", Path("data")))
ratings, films = raw.interactions, raw.items

# %% [markdown]
# ## The user
#
# The first 90 % of a user's rows are their history. The rest is the test window, on which nothing
# was trained. MetaSelector adapts on the most recent 40 rows of the history; the features of a
# film's row (what the user liked before) are computed from the whole history.


# %%
def split(user: str) -> tuple[pd.DataFrame, pd.DataFrame]:
    """History and test window of a user."""
    rows = ratings[ratings["user"] == user].sort_values("timestamp", kind="stable")
    cut = len(rows) * 9 // 10
    return rows[:cut], rows[cut:]


history, later = split(USER)
threshold = model.config.data.label_threshold  # ratings from here up are positive
summary = {
    "rows": [len(history), len(later)],
    "share of positives": [(rows["rating"] >= threshold).mean() for rows in (history, later)],
}
pd.DataFrame(summary, index=["history", "test window"]).round(2)

# %% [markdown]
# ## The inner loop
#
# The trace has one column for each number of inner steps: the loss on the support (the rows that
# the user is adapted on), the mean weights of the base models there, and how far the parameters of
# the selector and of each base model moved. The first step weighs all rows equally and the last one
# weighs recent rows more, so its loss over all rows need not be lower.

# %%
user = model.adapt(history)
user.trace.set_index("step").T.round(3)

# %% [markdown]
# ## What changed
#
# The candidates are all films that the user has not rated, at the same moment, predicted before and
# after adapting. The table shows the four whose probability rose most and the four whose
# probability fell most.

# %%
unseen = films.index.difference(ratings.loc[ratings["user"] == USER, "item"])
candidates = pd.DataFrame({"item": unseen, "timestamp": history["timestamp"].max() + 1})
changed = pd.DataFrame(
    {
        "title": films.loc[unseen, "title"].to_numpy(),
        "before": model.adapt(history, support_size=0).predict(candidates),
        "after": user.predict(candidates),
    }
)
changed["change"] = changed["after"] - changed["before"]
changed = changed.sort_values("change", ignore_index=True)
pd.concat([changed.tail(4)[::-1], changed.head(4)]).round(3)

# %%
fig, ax = plt.subplots(figsize=(4, 3.8), layout="constrained")
ax.scatter(changed["before"], changed["after"], s=6, alpha=0.4)
ax.plot([0, 1], [0, 1], color="black", linewidth=0.8)
ax.set(xlim=(0, 1), ylim=(0, 1), aspect="equal")
ax.set_xlabel("probability before adapting")
ax.set_ylabel("probability after")
ax.set_title(f"User {USER}: {len(changed):,} films not rated", fontsize=10)
plt.show()

# %% [markdown]
# ## A loop over the support
#
# The same user, adapted on their most recent 0, 1, 2 … rows. Features are computed from the whole
# history each time, so only adaptation changes the numbers.

# %%
SIZES = [0, 1, 2, 5, 10, 20, 40]


def adapted(size: int, history: pd.DataFrame, later: pd.DataFrame) -> pd.DataFrame:
    """Predictions and weights for the test window after adapting on the latest `size` rows."""
    user = model.adapt(history, support_size=size)
    predicted = later.assign(size=size, p=user.predict(later))
    return predicted.reset_index(drop=True).join(user.weights)


loop = pd.concat([adapted(size, history, later) for size in SIZES], ignore_index=True)
names = list(user.weights.columns)

fig, (left, right) = plt.subplots(1, 2, figsize=(8, 3.3), layout="constrained")
at = range(len(SIZES))
left.plot(at, loop.groupby("size")[names].mean(), marker="o", markersize=3, label=names)
left.set_ylim(0, 1)
left.set_ylabel("mean weight")
left.set_title("Base models", fontsize=9)
left.legend(frameon=False, fontsize=8)
for _, row in loop.groupby("line"):
    positive = row["rating"].iloc[0] >= threshold
    right.plot(at, row["p"], color="tab:green" if positive else "tab:red", alpha=0.5, linewidth=1)
right.set_ylim(0, 1)
right.set_ylabel("probability")
right.set_title("Rows of the test window: green positive, red negative", fontsize=9)
for ax in (left, right):
    ax.set_xticks(at, SIZES)
    ax.set_xlabel("latest rows adapted on")
plt.show()

# %% [markdown]
# One user's test window is short, so its loss is noisy. Here is the same loop over 40 users with
# 100 rows or more, the first ones in the file:

# %%
rows_of = ratings.groupby("user", sort=False).size()
users = rows_of.index[rows_of >= 100][:40]
many = pd.concat([adapted(size, *split(name)) for name in users for size in SIZES])
loss = pd.Series({n: logloss(r["rating"] >= threshold, r["p"]) for n, r in many.groupby("size")})

fig, ax = plt.subplots(figsize=(5, 3), layout="constrained")
ax.plot(at, loss[SIZES], marker="o", markersize=4)
ax.axhline(loss[0], color="black", linewidth=0.8, linestyle="--", label="not adapted")
ax.legend(frameon=False)
ax.set_xticks(at, SIZES)
ax.set_xlabel("latest rows adapted on")
ax.set_ylabel("logloss on the test windows")
ax.set_title(f"{len(users)} users, {(many['size'] == 0).sum():,} test rows", fontsize=10)
plt.show()
loss.rename("logloss").rename_axis("rows").to_frame().T.round(4)

# %% [markdown]
# Meta-training shows supports of all sizes and learns how far to trust few rows
# (`adapt.support_sizes`, `adapt.prior_rows`), so that one model serves every size. Over 40 users
# the curve is still noisy; `support_curve_differences.csv` of an evaluated run has the differences
# over all users, with intervals.
#
# ## Which rows changed the weights
#
# `explain_user` leaves out the support rows one by one and reports how much weight each one moved
# between base models.

# %%
found = explain_user(Run(RUN, model.config), USER)
found.weights.set_index("base_model").round(3)

# %%
influence = found.rows["influence"].to_numpy() * 100
positive = found.rows["rating"] == 1  # whether it is a positive
ago = range(len(influence), 0, -1)

fig, ax = plt.subplots(figsize=(6, 2.8), layout="constrained")
ax.bar(ago, influence, color=["tab:green" if p else "tab:red" for p in positive])
ax.set_xlim(len(influence) + 1, 0)
ax.set_xticks([1, *range(5, len(influence) + 1, 5)])
ax.set_xlabel("how many rows ago (1: the latest)")
ax.set_ylabel("weight moved\n(percentage points)")
ax.set_title("What each support row did: green positive, red negative", fontsize=9)
plt.show()

# %% [markdown]
# ## What to try next
#
# - Another user: change `USER` at the top and run all cells again.
# - Somebody who is not in the data: `model.adapt(rows)` accepts rows with the columns *user*,
#   *item*, *rating* and *timestamp*.
# - With ipywidgets installed, a slider: `interact(lambda size: adapted(size, history,
#   later)[names].mean(), size=(0, 40))`.
# - Train with `MetaSelector(adapt={"support_sizes": [], "prior_rows": 0, "learned_weights": False},
#   directory="runs/notebooks/always-40-rows")` and run the loop again: few rows now do harm.
# - The same from the command line, with a figure: `metaselector explain --run
#   runs/notebooks/movielens-100k --user 42`.
