"""The fair rival of MetaSelector: everything but meta-learning is chosen on *valid*."""

from __future__ import annotations

from dataclasses import replace
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch

from base_models import LR
from metaselector.common.progress import Silent
from metaselector.config import ColdConfig, Config
from metaselector.data.planted import planted_world
from metaselector.data.splitting import make_protocol
from metaselector.data.splitting.episodes import EpisodeRows
from metaselector.data.splitting.protocol import EvaluationProtocol
from metaselector.meta import finetune, finetune_settings
from metaselector.meta.adapt.engines.func import FuncEngine
from metaselector.meta.adapted import valid_loss
from metaselector.meta.finetune import PASSES, alpha_of, choose_finetuning
from metaselector.meta.finetune_log import SearchLog
from metaselector.meta.finetune_settings import LADDERS, Choice, Search
from metaselector.meta.parameters import MetaParameters
from metaselector.meta.variants import make_adaptation
from metaselector.models.build import build_mixture
from metaselector.models.kernels.replay import Recorder
from metaselector.models.mixture import Mixture
from tests.meta.bowls import TARGET, bowl
from tests.meta.outer_world import equal

# From settings to alpha and back


def world(protocol: str, seed: int = 0) -> tuple[EvaluationProtocol, Mixture]:
    dataset = planted_world(20, 20, 8, np.random.default_rng(seed)).dataset
    config = Config(protocol=protocol, cold=ColdConfig(support_sizes=(2, 5)))  # type: ignore[arg-type]
    models = {name: LR(dataset.schema.num_ids, dataset.schema.slot_fields) for name in ("a", "b")}
    with torch.no_grad(), torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        for model in models.values():
            for p in model.parameters():
                p.normal_(std=0.5)
    return make_protocol(dataset, config), build_mixture(models, dataset.schema, config, seed=0)


def test_alpha_says_what_was_chosen() -> None:
    _, mixture = world("warm")
    alpha = TARGET.alpha(mixture)
    assert all(rate.shape == (5,) for rate in alpha.values())
    assert alpha["base_models.a.linear.weight"].tolist() == pytest.approx([3.0] * 5)  # a table
    assert alpha["base_models.b.linear.bias"].tolist() == pytest.approx([0.01] * 5)
    assert alpha["selector.output.bias"].tolist() == [0.0] * 5
    assert alpha["support/prior_rows"].tolist() == [30.0] * 5
    assert alpha["support/half_life"].tolist() == [2.0] * 5
    assert alpha["support/time_decay"].tolist() == [1.0] * 4 + [8.0]
    assert Choice.of_alpha(alpha, mixture) == pytest.approx(TARGET)


# On valid


def chosen(protocol: EvaluationProtocol, mixture: Mixture) -> MetaParameters:
    """With a selector that is not the plain average."""
    phi = {n: p.detach() + 1 for n, p in mixture.named_parameters() if n.startswith("selector.")}
    selector = MetaParameters(phi, {}, {})
    return choose_finetuning(protocol, mixture, selector, description="", progress=Silent())


@pytest.fixture(autouse=True)
def _whole_ladders(monkeypatch: pytest.MonkeyPatch) -> None:
    """Undo what spares whole runs the search."""
    monkeypatch.setattr(finetune_settings, "LADDERS", LADDERS)


@pytest.fixture
def few(monkeypatch: pytest.MonkeyPatch) -> None:
    """Leave little to choose from, so that real losses are fast."""
    one = Choice(*((value,) for value in Choice()))  # type: ignore[arg-type]
    small = one._replace(steps=(2, 3), others=(0.1, 0.3), prior_rows=(1.0, 3.0))  # type: ignore[arg-type]
    monkeypatch.setattr(finetune_settings, "LADDERS", small)


@pytest.fixture
def scored(monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
    """Put bowls in place of losses: by folder of the split, and an offset for either start."""
    given: dict[str, Any] = {"offset": {True: 0.0, False: 0.0}, "targets": {}, "users": []}

    def predicted(
        candidate: Any, mixture: Any, adaptation: Any, _: Any, split: Any, *, engine: Any
    ) -> Any:
        # float32 rounds the values of the ladders
        choice = Choice(
            *(
                min(ladder, key=lambda value: abs(value - now))
                for ladder, now in zip(
                    LADDERS, Choice.of_alpha(candidate.alpha, mixture), strict=True
                )
            )
        )
        assert adaptation.steps == choice.steps
        found: float = bowl(given["targets"][split.folder])(choice)
        given["users"].append(split.valid.users.tolist())
        rows, _ = split.valid.flat("query")
        lost = np.full(len(rows), found + given["offset"][bool(candidate.phi)])
        return SimpleNamespace(losses=lost)

    monkeypatch.setattr(finetune, "valid_predictions", predicted)
    return given


@pytest.fixture
def passes(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """How many passes each call of a search may make."""
    seen: list[int] = []
    go = Search.go

    def spy(search: Search, passes: int) -> float:
        seen.append(passes)
        return go(search, passes)

    monkeypatch.setattr(Search, "go", spy)
    return seen


@pytest.mark.parametrize("selector_is_worse", [False, True])
def test_the_better_of_two_starts_is_kept(scored: dict[str, Any], selector_is_worse: bool) -> None:
    protocol, mixture = world("warm")
    scored["targets"] = {".": TARGET}
    scored["offset"] = {True: float(selector_is_worse), False: 0.5}
    learned = chosen(protocol, mixture)
    assert bool(learned.phi) != selector_is_worse
    assert learned.theta_delta == {}
    assert equal(learned.alpha, TARGET.alpha(mixture))
    losses = [row["valid_loss"] for row in learned.history]
    assert losses[learned.best_epoch] == min(losses) == 0.5 * selector_is_worse
    assert [row["epoch"] for row in learned.history] == list(range(len(losses)))


@pytest.mark.parametrize(
    ("offset", "expected"), [(-0.5, [PASSES, 1, PASSES - 1]), (0.0, [PASSES, 1])]
)
def test_the_plain_average_goes_on_only_if_it_is_ahead(
    scored: dict[str, Any], offset: float, expected: list[int], passes: list[int]
) -> None:
    protocol, mixture = world("warm")
    scored["targets"], scored["offset"] = {".": TARGET}, {True: 0.0, False: offset}
    learned = chosen(protocol, mixture)
    assert passes == expected
    assert bool(learned.phi) == (offset == 0)


@pytest.mark.parametrize("offset", [-0.5, 0.0])
def test_of_many_users_the_search_begins_with_few(
    scored: dict[str, Any], offset: float, passes: list[int], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Both starts compete on few, and the better one makes a last pass on all."""
    protocol, mixture = world("warm")
    scored["targets"], scored["offset"] = {".": TARGET}, {True: 0.0, False: offset}
    users = protocol.evaluation_splits[0].valid.users.tolist()
    monkeypatch.setattr(finetune, "FEW_USERS", len(users) // 2)
    learned = chosen(protocol, mixture)
    assert passes == [PASSES, 1, *([PASSES - 1] if offset else []), 1]
    seen = scored["users"]
    few = seen[0]
    assert len(few) == len(users) // 2
    assert set(few) < set(users)
    on_all = seen.index(users)
    assert seen == [few] * on_all + [users] * (len(seen) - on_all)
    assert len(learned.history) == len(seen) - on_all  # none of those on few users
    assert bool(learned.phi) == (offset == 0)
    assert equal(learned.alpha, TARGET.alpha(mixture))


def test_what_few_users_mislead_is_put_right_by_all(
    scored: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    protocol, mixture = world("warm")
    everyone = len(protocol.evaluation_splits[0].valid.users)
    monkeypatch.setattr(finetune, "FEW_USERS", everyone // 2)
    misled = TARGET._replace(steps=3, prior_rows=300.0)
    scored["targets"] = {".": TARGET}
    predicted = finetune.valid_predictions

    def by_users(*args: Any, engine: Any) -> Any:
        few = len(args[-1].valid.users) < everyone
        scored["targets"] = {".": misled if few else TARGET}
        return predicted(*args, engine=engine)

    monkeypatch.setattr(finetune, "valid_predictions", by_users)
    assert equal(chosen(protocol, mixture).alpha, TARGET.alpha(mixture))


@pytest.mark.parametrize(("few", "most"), [(21, 10_000), (6, 11)])
def test_of_fewer_than_twice_as_many_users_the_search_sees_all(
    scored: dict[str, Any], few: int, most: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """However many there are, `finetune_users` of them count."""
    protocol, mixture = world("warm")
    adapt = protocol.config.adapt.model_copy(update={"finetune_users": most})
    config = protocol.config.model_copy(update={"adapt": adapt})
    protocol = make_protocol(protocol.dataset, config)
    scored["targets"] = {".": TARGET}
    monkeypatch.setattr(finetune, "FEW_USERS", few)
    learned = chosen(protocol, mixture)
    users = protocol.evaluation_splits[0].valid.users
    assert {len(some) for some in scored["users"]} == {min(most, len(users))}
    assert len(learned.history) == len(scored["users"])


def test_each_support_size_has_choices_of_its_own(scored: dict[str, Any]) -> None:
    protocol, mixture = world("cold")
    other = TARGET._replace(steps=3, prior_rows=300.0)
    scored["targets"] = {"support-2": other, "support-5": TARGET}
    learned = chosen(protocol, mixture)
    first, second = protocol.evaluation_splits
    for split, target in ((first, other), (second, TARGET)):
        alpha = alpha_of(learned.alpha, split)
        assert equal(alpha, target.alpha(mixture))
        assert make_adaptation("user-finetuned", mixture, protocol.config, alpha).steps == (
            target.steps
        )
    again = MetaParameters.of_tensors(learned.tensors(), "cpu")  # as a checkpoint keeps it
    assert equal(again.alpha, learned.alpha)


def test_what_is_learned_holds_for_every_support_size() -> None:
    protocol, _ = world("cold")
    alpha = {"support/half_life": torch.ones(2), "selector.output.bias": torch.ones(2)}
    assert all(alpha_of(alpha, split) == alpha for split in protocol.evaluation_splits)


@pytest.mark.usefixtures("few")
def test_the_loss_is_that_of_predicting_valid() -> None:
    """And lower than where the search starts; the mixture is left as it was."""
    protocol, mixture = world("warm")
    before = {name: p.detach().clone() for name, p in mixture.named_parameters()}
    learned = chosen(protocol, mixture)
    assert equal(dict(mixture.named_parameters()), before)
    adaptation = make_adaptation("user-finetuned", mixture, protocol.config, learned.alpha)
    lost = valid_loss(learned, mixture, adaptation, protocol)
    losses = [row["valid_loss"] for row in learned.history]
    assert lost == losses[learned.best_epoch] == min(losses) < losses[0]


@pytest.mark.usefixtures("few")
def test_test_labels_change_no_choice() -> None:
    """Labels of *valid* do, which guards the test."""
    found = []
    for window in (None, "test", "valid"):
        protocol, mixture = world("warm")
        if window is not None:
            dataset = protocol.dataset
            rows, _ = getattr(protocol.evaluation_splits[0], window).flat("query")
            labels = dataset.task_labels.copy()
            labels[rows] = 1 - labels[rows]
            changed = replace(dataset, task_labels=labels)
            protocol = make_protocol(changed, protocol.config)
        learned = chosen(protocol, mixture)
        found.append([row["valid_loss"] for row in learned.history])
    assert found[0] == found[1]
    assert found[0] != found[2]


def test_the_search_sees_the_same_users_each_time() -> None:
    rows = np.arange(10).reshape(10, 1)
    episodes = EpisodeRows(np.arange(10), rows, rows + 10)
    some, again = finetune._some(episodes, 3), finetune._some(episodes, 3)
    assert len(some.users) == 3
    assert np.array_equal(some.users, again.users)
    assert np.array_equal(some.query[:, 0] - 10, some.users)
    assert (np.diff(some.users) > 0).all()


def test_the_search_sees_all_of_few_users() -> None:
    rows = np.arange(10).reshape(10, 1)
    episodes = EpisodeRows(np.arange(10), rows, rows)
    assert finetune._some(episodes, 10) is episodes


def test_recorded_inner_loops_change_no_choice(monkeypatch: pytest.MonkeyPatch) -> None:
    """With few values, on real inner loops."""
    small = Choice(*(ladder[1:3] for ladder in LADDERS))  # type: ignore[arg-type]
    monkeypatch.setattr(finetune_settings, "LADDERS", small)
    protocol, mixture = world("warm")
    found, recorder = [], Recorder(calls=2)
    for engine in (FuncEngine(), FuncEngine(recorder)):
        history: list[Any] = []
        (split,) = protocol.evaluation_splits
        log = SearchLog(None, Silent())
        loss = finetune._Losses(protocol, split, 20, mixture, {}, history, engine, log)
        search = Search(loss, Choice(*(ladder[0] for ladder in small)))  # type: ignore[misc]
        search.go(1)
        found.append((search.best, history))
    assert recorder.replays > 0
    assert not recorder.refused
    assert found[0] == found[1]
