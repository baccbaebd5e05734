# %% [markdown]
# # 05 · Bring your own data
#
# This notebook takes a log that MetaSelector has never seen, an invented shop with 1,545 ratings,
# from a file with unknown columns to predictions for a customer.
#
# It takes a quarter of a minute. The shop is tiny, so its numbers mean nothing.

# %%
import os
import warnings
from pathlib import Path

import matplotlib.pyplot as plt
import pandas as pd
from rich.console import Console

from metaselector import MetaSelector
from metaselector.data.own.draft import draft
from metaselector.data.profile.describe import describe
from metaselector.data.registry import read
from metaselector.report.profile import print_profile

if Path.cwd().name == "notebooks":  # all paths start at the root of the repository
    os.chdir("..")
SHOP = Path("examples/shop")

# %% [markdown]
# ## Draft a schema
#
# A schema is a short YAML file that describes the columns. `draft` guesses one and marks what to
# check; `metaselector data schema FILE --output shop.yaml` writes it to a file.

# %%
print(draft(SHOP / "ratings.csv"))

# %% [markdown]
# ## Describe the data
#
# Corrected by hand, the draft became [shop.yaml](../examples/shop/shop.yaml), which also names a
# file of items. Before training, look at what was read:

# %%
profile = describe(read(str(SHOP / "shop.yaml"), SHOP / "ratings.csv"), label_threshold=4)
print_profile(profile, Console(width=98, force_jupyter=False, force_terminal=False))

# %% [markdown]
# `fit` accepts the path of the schema: `MetaSelector().fit("examples/shop/shop.yaml")`.
#
# ## Or a data frame
#
# A data frame needs no file; you describe its columns with the same words. `threshold` turns a
# number into a label: 4 stars or more are positive.

# %%
log = pd.read_csv(SHOP / "ratings.csv")
columns = {
    "user": "user_id",
    "item": "item_id",
    "time": {"column": "timestamp", "unit": "seconds"},
    "label": "rating",
    "threshold": 4,
    "features": ["device", "price"],
    "items": {"key": "item_id", "features": ["brand"]},
}
model = MetaSelector(evaluate={"resamples": 100})
model.fit(log, columns, items=pd.read_csv(SHOP / "items.csv"))
results = model.evaluate()
shown = [*model.config.base_models, "metaselector"]
results.set_index("model")[["auc", "logloss"]].loc[shown].round(3)

# %% [markdown]
# There are few test rows, so each one counts for much here:

# %%
results[["n_users", "n_test"]].drop_duplicates()

# %% [markdown]
# ## Predict for a customer
#
# Rows to predict have the columns of the log, without the label. This customer is new: all we have
# is five ratings that the model has never seen.

# %%
warnings.filterwarnings("ignore", "history: unknown to the model")  # as a new customer is
history = log[log["user_id"] == "u05"].head(5).assign(user_id="somebody new")
offers = pd.DataFrame({"item_id": ["p001", "p002", "p003", "p004"]})
offers = offers.assign(device="phone", price=20.0, timestamp=history["timestamp"].max() + 3600)

customer = model.adapt(history)
offers["probability"] = customer.predict(offers)
offers[["item_id", "probability"]].join(customer.weights).round(3)

# %%
prices = pd.DataFrame({"item_id": "p001", "device": "phone", "price": range(5, 100, 5)})
prices = prices.astype({"price": float}).assign(timestamp=offers["timestamp"].max())
fig, ax = plt.subplots(figsize=(5, 2.8), layout="constrained")
ax.plot(prices["price"], customer.predict(prices), marker="o", markersize=3)
ax.set_ylim(0, 1)
ax.set_xlabel("price of p001")
ax.set_ylabel("probability that they like it")
plt.show()

# %% [markdown]
# ## Keep it
#
# A saved model predicts without the training data.

# %%
model.save("runs/notebooks/shop-model")
again = MetaSelector.load("runs/notebooks/shop-model").adapt(history)
bool((again.predict(offers) == customer.predict(offers)).all())

# %% [markdown]
# ## What to try next
#
# - Your own log: `metaselector data schema FILE`, for CSV, TSV, Parquet or any of RecBole's atomic
#   files.
# - Errors in a file are reported with file, line, column and value: put a word into the column
#   *price* of a copy and see.
# - Several labels make several tasks: see 06.
# - A log of clicks only has no negatives; a schema can sample them (`negatives` in
#   [data](../docs/how-to/data.md)).
