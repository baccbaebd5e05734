"""Similarities by name, side by side, and plug-ins that violate the contract."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

from base_models import FM
from metaselector.common.errors import ConfigError
from metaselector.config.plugins.kinds import SIMILARITIES
from metaselector.data.encoded.dataset import EncodedDataset
from metaselector.data.planted import planted_world
from metaselector.data.splitting.episodes import EpisodeRows, window_episodes
from metaselector.models.similarity.contract import make_similarity

from .catalogue import all_pairs, random_catalogue, random_episodes

ALL = ["features", "embeddings", "co-residuals"]
DATASET = random_catalogue(np.random.default_rng(0))
ROWS = np.arange(20)
P = np.full(20, 0.5)


def models(dataset: EncodedDataset = DATASET) -> dict[str, nn.Module]:
    return {"fm": FM(dataset.schema.num_ids, dataset.schema.slot_fields)}


def test_numbers_stand_in_the_order_of_the_names() -> None:
    episodes = random_episodes(DATASET, np.random.default_rng(1), 5, 4, 3)
    one = {
        name: make_similarity([name], DATASET, models(), ROWS, P)(DATASET, episodes)
        for name in ALL[::2]
    }
    both = make_similarity(ALL[::-2], DATASET, models(), ROWS, P)
    assert both.names == ("co-residuals", "features")
    found = both(DATASET, episodes)
    assert found.shape == (5, 3, 4, 2)
    assert found.dtype == torch.float32
    assert torch.equal(found, torch.cat([one["co-residuals"], one["features"]], -1))


def test_numbers_are_within_bounds_and_0_for_padding() -> None:
    episodes = random_episodes(DATASET, np.random.default_rng(2), 30, 6, 5)
    found = make_similarity(ALL, DATASET, models(), ROWS, P)(DATASET, episodes)
    assert found.abs().max() <= 1
    assert not found[torch.from_numpy(episodes.query < 0)].any()
    assert not found.transpose(1, 2)[torch.from_numpy(episodes.support < 0)].any()
    assert (found != 0).any(0).any(0).any(0).all()


def test_a_user_has_the_same_numbers_alone_and_among_others() -> None:
    generator = np.random.default_rng(3)
    dataset = random_catalogue(generator, users=100)
    episodes = random_episodes(dataset, generator, 40, 6, 5)
    base_models = {"fm": FM(dataset.schema.num_ids, dataset.schema.slot_fields, 11)}
    similarity = make_similarity(ALL, dataset, base_models, ROWS, P)
    together = similarity(dataset, episodes)
    for user in range(40):
        alone = similarity(dataset, episodes.some(np.array([user])))
        queries, supports = alone.shape[1:3]  # without padding
        assert torch.equal(alone[0], together[user, :queries, -supports:])


def test_tabular_data_have_no_similarities() -> None:
    dataset = planted_world(2, 10, 4, np.random.default_rng(0)).dataset
    similarity = make_similarity(ALL, dataset, models(dataset), ROWS, P)
    assert similarity.names == ()
    assert similarity(dataset, window_episodes(dataset, (80, 100), 3)).shape == (4, 2, 3, 0)


def test_no_users() -> None:
    none = np.zeros((0, 3), dtype=np.int64)
    similarity = make_similarity(ALL, DATASET, models(), ROWS, P)
    assert similarity(DATASET, EpisodeRows(none[:, 0], none, none)).shape == (0, 3, 3, 3)


class Recent:
    """The rows' distance in the data."""

    names: Any = ("recent", "later")

    def __init__(
        self, dataset: Any, base_models: Any, training_rows: Any, probabilities: Any, far: float = 9
    ) -> None:
        self.given, self.far = (dataset, base_models, training_rows, probabilities), far

    def __call__(self, dataset: EncodedDataset, episodes: EpisodeRows) -> Any:
        apart = episodes.query[:, :, None] - episodes.support[:, None, :]
        found = torch.from_numpy(np.stack([apart / self.far, apart > 0], axis=-1)).float()
        return found.masked_fill(torch.from_numpy(episodes.query < 0)[..., None, None], torch.nan)


def own(monkeypatch: pytest.MonkeyPatch, **changes: Any) -> None:
    monkeypatch.setitem(SIMILARITIES.registered, "own", type("Own", (Recent,), changes))


def test_a_similarity_of_ones_own(monkeypatch: pytest.MonkeyPatch) -> None:
    given = []
    own(monkeypatch, __init__=lambda self, *of: given.append(of) or Recent.__init__(self, *of))
    base_models = models()
    similarity = make_similarity(["own", "features"], DATASET, base_models, ROWS, P)
    assert similarity.names == ("recent", "later", "features")
    ((dataset, passed, rows, p),) = given
    assert dataset is DATASET
    assert passed is base_models
    assert rows is ROWS
    assert np.array_equal(p, P)
    found = similarity(DATASET, all_pairs(3, padding=1))[0, ..., :2]
    assert found[2, 0].tolist() == [np.float32(2 / 9), 1]
    assert not found[3].any()  # padding, whatever the plug-in gives there


def test_a_similarity_in_a_file_with_an_option(tmp_path: Path) -> None:
    path = tmp_path / "mine.py"
    path.write_text(
        "import torch\n"
        "class Constant:\n"
        "    names = ('constant',)\n"
        "    def __init__(self, dataset, base_models, training_rows, probabilities, value=0.5):\n"
        "        self.value = value\n"
        "    def __call__(self, dataset, episodes):\n"
        "        shape = *episodes.query.shape, episodes.support.shape[1], 1\n"
        "        return torch.full(shape, self.value)\n"
    )
    name = f"{path}:Constant"
    options = {name: {"value": 0.25}}
    similarity = make_similarity([name], DATASET, {}, ROWS, P, options)
    assert (similarity(DATASET, all_pairs(2)) == 0.25).all()
    with pytest.raises(ConfigError, match="unknown option 'vale'; did you mean 'value'"):
        make_similarity([name], DATASET, {}, ROWS, P, {name: {"vale": 1}})


def test_the_similarity_of_the_page(tmp_path: Path) -> None:
    page = (Path(__file__).parents[3] / "docs" / "how-to" / "similarity.md").read_text("utf-8")
    path = tmp_path / "same.py"
    path.write_text(page.split("```python\n")[1].split("```")[0])
    similarity = make_similarity([f"{path}:SameItem"], DATASET, {}, ROWS, P)
    assert similarity.names == ("same-item",)
    found = similarity(DATASET, all_pairs(20, padding=1))[0, :, :, 0]
    items = torch.from_numpy(DATASET.items[:20])
    assert torch.equal(found[:20, :20], (items[:, None] == items).float())
    assert not found[20].any()


def raises(*given: Any, **more: Any) -> Any:
    raise KeyError("oh")


@pytest.mark.parametrize(
    ("changes", "problem"),
    [
        ({"__init__": raises}, r"^similarity 'own': cannot be built \(KeyError: .*py:\d+\)"),
        ({"__init__": lambda self: None}, r"cannot be built \(TypeError: .*constructor gets a"),
        ({"names": None}, "^similarity 'own': names must be a tuple of strings"),
        ({"names": ["a"]}, "names must be a tuple of strings, one per number"),
        ({"names": (1,)}, "names must be a tuple of strings"),
        ({"names": ("features", "b")}, "two similarities have a number 'features'; rename one"),
        ({"__call__": raises}, r"^similarity 'own': fails \(KeyError: .*is called with a data set"),
        ({"__call__": lambda *_: None}, r"returns NoneType, not float32 \[1, 3, 3, 2\]"),
        ({"__call__": lambda *_: np.zeros((1, 3, 3, 2))}, "returns ndarray, not float32"),
        ({"__call__": lambda *_: torch.zeros(1, 3, 3, 1)}, r"returns float32 \[1, 3, 3, 1\], not"),
        ({"__call__": lambda *_: torch.zeros(1, 3, 3, 2).double()}, r"returns float64 \[1, 3, 3"),
        ({"__call__": lambda *_: torch.full((1, 3, 3, 2), torch.inf)}, "returns non-finite"),
        ({"__new__": lambda *_: SimpleNamespace(names=("a",))}, "'own': has no method __call__"),
    ],
)
def test_a_similarity_that_is_none(
    changes: dict[str, Any], problem: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    own(monkeypatch, **changes)
    with pytest.raises(ConfigError, match=problem):
        make_similarity(["own", "features"], DATASET, {}, ROWS, P)(DATASET, all_pairs(3))


@pytest.mark.parametrize(
    ("names", "options", "problem"),
    [
        (["feature"], {}, "unknown similarity 'feature'; did you mean 'features'"),
        (["features", "features"], {}, "similarity 'features' is listed twice"),
        (["features"], {"features": {"a": 1}}, "'features': unknown option 'a'; it has none"),
        (
            ["co-residuals"],
            {"co-residuals": {"shrnk": 1}},
            "'co-residuals': unknown option 'shrnk'; did you mean 'shrink'",
        ),
        (["features"], {"own": {}}, "options of similarity 'own', which is not used"),
    ],
)
def test_names_and_options(names: list[str], options: Any, problem: str) -> None:
    with pytest.raises(ConfigError, match=problem):
        make_similarity(names, DATASET, {}, ROWS, P, options)
