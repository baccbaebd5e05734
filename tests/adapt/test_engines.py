"""One suite for all engines: each against the slow loop, and what must hold of any of them."""

from __future__ import annotations

import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from types import ModuleType
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.func import functional_call

from base_models import FM
from metaselector.adapt.engine import Adaptation, Engine, Loss
from metaselector.adapt.engines import make_engine
from metaselector.adapt.rules import MAML, InnerRule, MetaSGD
from metaselector.data.batch import Batch
from metaselector.data.episodes import Episodes, Rows
from metaselector.errors import ConfigError, UserError
from metaselector.mixture import MeanLoss, Mixed

RATE = 0.3
Rates = Mapping[str, Tensor]


@dataclass(frozen=True)
class Runner:
    """An engine and its slow twin, with the loss that both use."""

    engine: Engine
    reference: ModuleType
    loss: Loss

    def output(
        self, world: Any, adaptation: Adaptation, rates: Rates, episodes: Episodes | None = None
    ) -> Mixed:
        mixed: Mixed = self.engine(
            world.model, world.params, rates, adaptation, episodes or world.episodes, self.loss
        )
        return mixed

    def losses(self, world: Any, adaptation: Adaptation, rates: Rates) -> Tensor:
        """Mean query loss of every user, ``[U]``."""
        return self.losses_of(self.output(world, adaptation, rates), world)

    def losses_of(self, output: Mixed, world: Any) -> Tensor:
        query = world.episodes.query
        users = range(len(query.labels))
        each = (Mixed(*(part[u] for part in output)) for u in users)
        return torch.stack(
            [self.loss(mixed, query.labels[u], query.mask[u]) for u, mixed in enumerate(each)]
        )

    def expected(self, world: Any, adaptation: Adaptation, rates: Rates) -> tuple[Tensor, Tensor]:
        """The slow twin's losses ``[U]``, and log-probabilities of all real query rows."""
        results = self.reference.adapt_users(
            world.model, world.params, rates, adaptation, world.episodes, self.loss
        )
        losses = self.reference.query_losses(results, world.episodes, self.loss)
        return losses, torch.cat([result.output.log_positive for result in results])


@pytest.fixture
def runner(engine: Engine, reference: ModuleType, loss: Loss) -> Runner:
    return Runner(engine, reference, loss)


def meta_gradients(losses: Tensor, world: Any, rates: Rates) -> dict[str, Tensor]:
    leaves = {**world.params, **{f"rate of {name}": rate for name, rate in rates.items()}}
    grads = torch.autograd.grad(
        losses.sum(), list(leaves.values()), allow_unused=True, materialize_grads=True
    )
    return dict(zip(leaves, grads, strict=True))


def users_of(episodes: Episodes, users: list[int]) -> Episodes:
    def pick(rows: Rows) -> Rows:
        return Rows(
            Batch(rows.batch.ids[users], rows.batch.values[users]),
            rows.labels[users],
            rows.mask[users],
        )

    return Episodes(pick(episodes.support), pick(episodes.query))


@pytest.mark.parametrize("dtype", [torch.float64, torch.float32], ids=["float64", "float32"])
@pytest.mark.parametrize("steps", [0, 1, 3])
def test_equals_slow_loop(
    runner: Runner,
    rule: InnerRule,
    steps: int,
    patterns: tuple[str, ...],
    dtype: torch.dtype,
    make_world: Any,
    make_adaptation: Any,
) -> None:
    """Query losses, predictions by the adapted parameters, meta-gradients of theta, phi, alpha."""
    world = make_world(dtype)
    adaptation, rates = make_adaptation(world, rule, steps, patterns)
    output = runner.output(world, adaptation, rates)
    losses = runner.losses_of(output, world)
    predictions = output.log_positive[world.episodes.query.mask.bool()]
    wanted_losses, wanted_predictions = runner.expected(world, adaptation, rates)
    actual = {"losses": losses, "predictions": predictions, **meta_gradients(losses, world, rates)}
    wanted = {
        "losses": wanted_losses,
        "predictions": wanted_predictions,
        **meta_gradients(wanted_losses, world, rates),
    }
    assert actual.keys() == wanted.keys()
    for name, value in wanted.items():
        relative, absolute = (0.0, 1e-10) if dtype == torch.float64 else (1e-5, 0.0)
        if dtype == torch.float32 and name not in ("losses", "predictions"):
            # An element of a gradient may cancel to next to nothing: relative to the largest one.
            absolute = 1e-5 * float(value.detach().abs().max()) + 1e-8
        torch.testing.assert_close(
            actual[name], value, rtol=relative, atol=absolute, msg=partial(_named, name)
        )


@pytest.mark.parametrize(
    ("half_lives", "prior_rows"),
    [((), 0.0), ((1.5, None, 0.5), 0.0), ((1.5, None, 0.5), 2.5)],
    ids=["alike", "recent", "shrunk"],
)
@pytest.mark.parametrize(
    "step_rule",
    [
        MAML(RATE),
        MetaSGD(RATE),
        MetaSGD(RATE, granularity="scalar"),
        MetaSGD(RATE, second_order=False),
    ],
    ids=["maml", "tensor", "scalar", "first-order"],
)
def test_rates_and_weights_of_each_step_equal_slow_loop(
    runner: Runner,
    step_rule: InnerRule,
    half_lives: tuple[float | None, ...],
    prior_rows: float,
    patterns: tuple[str, ...],
    world: Any,
    make_adaptation: Any,
) -> None:
    """Query losses and meta-gradients; rates and weights of support rows are each step's own."""
    adaptation, rates = make_adaptation(
        world, step_rule, 3, patterns, half_lives=half_lives, per_step=True, prior_rows=prior_rows
    )
    assert all(rate.shape == (3,) for rate in rates.values())
    losses = runner.losses(world, adaptation, rates)
    wanted_losses, _ = runner.expected(world, adaptation, rates)
    torch.testing.assert_close(losses, wanted_losses, rtol=0, atol=1e-10)
    actual = meta_gradients(losses, world, rates)
    for name, value in meta_gradients(wanted_losses, world, rates).items():
        torch.testing.assert_close(
            actual[name], value, rtol=0, atol=1e-10, msg=partial(_named, name)
        )


@pytest.mark.parametrize(
    "settings",
    [
        {"sees": ("outputs",)},
        {"sees": ("outputs", "disagreement"), "temperature": 0.5, "uniform_share": 0.1},
        {"sees": ("fields",), "temperature": 2.0, "uniform_share": 0.3},
        {"sees": ("fields", "support-losses")},
    ],
    ids=["outputs", "disagreement", "fields", "support-losses"],
)
def test_other_selectors_equal_slow_loop(
    runner: Runner,
    settings: Mapping[str, Any],
    patterns: tuple[str, ...],
    make_world: Any,
    make_adaptation: Any,
) -> None:
    """Query losses and meta-gradients; without fields, the selector has no table that adapts."""
    world = make_world(torch.float64, **settings)
    assert ("selector.embedding" in world.model.tables) == ("fields" in settings["sees"])
    adaptation, rates = make_adaptation(world, MetaSGD(RATE), 2, patterns)
    losses = runner.losses(world, adaptation, rates)
    wanted_losses, _ = runner.expected(world, adaptation, rates)
    torch.testing.assert_close(losses, wanted_losses, rtol=0, atol=1e-10)
    actual = meta_gradients(losses, world, rates)
    for name, value in meta_gradients(wanted_losses, world, rates).items():
        torch.testing.assert_close(
            actual[name], value, rtol=0, atol=1e-10, msg=partial(_named, name)
        )


@pytest.mark.parametrize("steps", [0, 2])
def test_losses_on_the_support_are_those_of_the_initial_parameters(
    runner: Runner, make_world: Any, make_adaptation: Any, steps: int
) -> None:
    """Also without an inner step; they are the user's own, and nothing stays in the model."""
    world = make_world(torch.float64, sees=("support-losses",))
    adaptation, rates = make_adaptation(world, MAML(RATE), steps)
    output = runner.output(world, adaptation, rates)
    wanted = runner.reference.adapt_users(
        world.model, world.params, rates, adaptation, world.episodes, runner.loss
    )
    for user, result in enumerate(wanted):
        real = world.episodes.query.mask[user].bool()
        expected = result.output.weights
        torch.testing.assert_close(output.weights[user][real], expected, rtol=0, atol=1e-10)
        assert torch.equal(expected, expected[:1].expand_as(expected))  # the same for all rows
    assert not torch.allclose(output.weights[0, 0], output.weights[1, 0], rtol=0, atol=1e-6)
    assert torch.equal(world.model.selector.support_losses, torch.zeros(3).double())


@pytest.mark.parametrize("granularity", ["tensor", "element"])
def test_models_that_know_their_fields_equal_slow_loop(
    runner: Runner, granularity: Any, world_of_fields: Any, make_adaptation: Any
) -> None:
    """Query losses, predictions, and meta-gradients of theta, phi, alpha."""
    world = world_of_fields
    adaptation, rates = make_adaptation(world, MetaSGD(RATE, granularity=granularity), 2)
    output = runner.output(world, adaptation, rates)
    losses = runner.losses_of(output, world)
    wanted_losses, wanted_predictions = runner.expected(world, adaptation, rates)
    predictions = output.log_positive[world.episodes.query.mask.bool()]
    torch.testing.assert_close(predictions, wanted_predictions, rtol=0, atol=1e-10)
    actual = meta_gradients(losses, world, rates)
    for name, value in meta_gradients(wanted_losses, world, rates).items():
        torch.testing.assert_close(
            actual[name], value, rtol=0, atol=1e-10, msg=partial(_named, name)
        )


@pytest.mark.parametrize("granularity", ["tensor", "element"])
def test_models_of_several_tasks_equal_slow_loop(
    engine: Engine,
    reference: ModuleType,
    granularity: Any,
    world_of_tasks: Any,
    make_adaptation: Any,
) -> None:
    """Query losses, predictions, and meta-gradients; labels that are not observed count nothing."""
    world, runner = world_of_tasks, Runner(engine, reference, MeanLoss((1.0, 0.7)))
    adaptation, rates = make_adaptation(world, MetaSGD(RATE, granularity=granularity), 2)
    output = runner.output(world, adaptation, rates)
    losses = runner.losses_of(output, world)
    wanted_losses, wanted_predictions = runner.expected(world, adaptation, rates)
    predictions = output.log_positive[world.episodes.query.mask.bool()]
    torch.testing.assert_close(predictions, wanted_predictions, rtol=0, atol=1e-10)
    actual = meta_gradients(losses, world, rates)
    for name, value in meta_gradients(wanted_losses, world, rates).items():
        torch.testing.assert_close(
            actual[name], value, rtol=0, atol=1e-10, msg=partial(_named, name)
        )


def _named(name: str, message: str) -> str:
    return f"{name}: {message}"


@pytest.mark.parametrize("user", [0, 1, 2])
def test_adapting_one_user_changes_nothing_for_the_next(
    runner: Runner, world: Any, make_adaptation: Any, user: int
) -> None:
    """On the model's own live parameters, as in training."""
    with torch.no_grad():
        for name, p in world.model.named_parameters():
            p.copy_(world.params[name])
    world.params.update(world.model.named_parameters())
    before = {name: p.detach().clone() for name, p in world.model.named_parameters()}
    adaptation, rates = make_adaptation(world, MetaSGD(10 * RATE), 3)
    others = users_of(world.episodes, [u for u in range(3) if u != user])
    expected = runner.output(world, adaptation, rates, others)
    unadapted = world.model(world.episodes.query.batch)

    runner.output(world, adaptation, rates, users_of(world.episodes, [user]))

    for name, p in world.model.named_parameters():
        assert p is world.params[name]
        assert torch.equal(p, before[name]), name
        assert p.grad is None
    for a, b in zip(runner.output(world, adaptation, rates, others), expected, strict=True):
        assert torch.equal(a, b)
    for a, b in zip(world.model(world.episodes.query.batch), unadapted, strict=True):
        assert torch.equal(a, b)


def test_user_without_support_is_predicted_with_the_initial_parameters(
    runner: Runner, world: Any, make_adaptation: Any
) -> None:
    output = runner.output(world, *make_adaptation(world, MAML(RATE)))
    alone = users_of(world.episodes, [2])
    unadapted = functional_call(world.model, world.params, (alone.query.batch,))
    torch.testing.assert_close(output.log_positive[2], unadapted.log_positive[0])


def test_adaptation_changes_the_prediction_of_a_user_with_support(
    runner: Runner, world: Any, make_adaptation: Any
) -> None:
    """Guards the tests above against an engine that never adapts."""
    rows = []  # not their mean, in which changes of opposite sign cancel
    for steps in (0, 1):
        output = runner.output(world, *make_adaptation(world, MAML(RATE), steps))
        rows.append(output.log_positive[0])
    assert (rows[0] - rows[1]).abs().max() > 1e-3


@pytest.mark.parametrize("user", [0, 1, 2])
def test_one_user_alone_equals_the_same_user_in_a_batch(
    runner: Runner, world: Any, make_adaptation: Any, user: int
) -> None:
    run = partial(
        runner.output, world, *make_adaptation(world, MetaSGD(RATE, granularity="element"))
    )
    for a, b in zip(run(users_of(world.episodes, [user])), run(), strict=True):
        torch.testing.assert_close(a[0], b[user], rtol=0, atol=1e-12)


def test_order_of_users_does_not_matter(runner: Runner, world: Any, make_adaptation: Any) -> None:
    run = partial(runner.output, world, *make_adaptation(world, MetaSGD(RATE)))
    order = [2, 0, 1]
    for a, b in zip(run(users_of(world.episodes, order)), run(), strict=True):
        torch.testing.assert_close(a, b[order], rtol=0, atol=1e-12)


def test_order_of_support_rows_does_not_matter(
    runner: Runner, world: Any, make_adaptation: Any
) -> None:
    support, order = world.episodes.support, [3, 1, 0, 2]
    shuffled = Rows(
        Batch(support.batch.ids[:, order], support.batch.values[:, order]),
        support.labels[:, order],
        support.mask[:, order],
    )
    run = partial(runner.output, world, *make_adaptation(world, MetaSGD(RATE)))
    for a, b in zip(run(Episodes(shuffled, world.episodes.query)), run(), strict=True):
        torch.testing.assert_close(a, b, rtol=0, atol=1e-12)


@pytest.mark.parametrize("no_grad", [False, True])
def test_nothing_that_was_passed_in_changes(
    runner: Runner, world: Any, make_adaptation: Any, no_grad: bool
) -> None:
    adaptation, rates = make_adaptation(world, MetaSGD(RATE))
    inputs = {
        **world.params,
        **{f"rate of {name}": rate for name, rate in rates.items()},
        **{f"model's {name}": p for name, p in world.model.state_dict().items()},
        "support ids": world.episodes.support.batch.ids,
        "query ids": world.episodes.query.batch.ids,
    }
    before = {name: value.detach().clone() for name, value in inputs.items()}
    with torch.set_grad_enabled(not no_grad):
        runner.output(world, adaptation, rates)
    for name, value in inputs.items():
        assert torch.equal(value, before[name]), name
    assert all(p.grad is None for p in world.params.values())


def test_evaluation_without_gradients_gives_the_same_numbers(
    runner: Runner, world: Any, make_adaptation: Any, rule: InnerRule, patterns: tuple[str, ...]
) -> None:
    adaptation, rates = make_adaptation(world, rule, 2, patterns)
    expected = runner.output(world, adaptation, rates)
    with torch.no_grad():
        output = runner.output(world, adaptation, rates)
    for a, b in zip(output, expected, strict=True):
        assert not a.requires_grad
        torch.testing.assert_close(a, b.detach(), rtol=0, atol=1e-12)


def test_frozen_parameters_can_adapt_where_only_rates_are_learned(
    runner: Runner, world: Any, make_adaptation: Any
) -> None:
    for p in world.params.values():
        p.requires_grad_(False)
    adaptation, rates = make_adaptation(world, MetaSGD(RATE))
    losses = runner.losses(world, adaptation, rates)
    grads = torch.autograd.grad(losses.sum(), list(rates.values()))
    for p in world.params.values():
        p.requires_grad_(True)
    expected, _ = runner.expected(world, adaptation, rates)
    wanted = torch.autograd.grad(expected.sum(), list(rates.values()))
    torch.testing.assert_close(grads, wanted, rtol=0, atol=1e-10)


@pytest.mark.parametrize("granularity", ["tensor", "element"])
def test_untouched_table_rows_get_exactly_no_gradient(
    runner: Runner, world: Any, make_adaptation: Any, granularity: Any
) -> None:
    adaptation, rates = make_adaptation(world, MetaSGD(RATE, granularity=granularity))
    grads = meta_gradients(runner.losses(world, adaptation, rates), world, rates)
    episodes = world.episodes
    touched = torch.cat([episodes.support.batch.ids.flatten(), episodes.query.batch.ids.flatten()])
    for name in world.model.tables:
        untouched = torch.ones(len(world.params[name]), dtype=torch.bool)
        untouched[touched.unique()] = False
        assert untouched.any()
        assert not untouched.all()
        assert grads[name][~untouched].any()
        for grad in (grads[name], grads[f"rate of {name}"]):
            if len(grad) == len(untouched):
                assert not grad[untouched].any()


def test_padding_row_gets_exactly_no_gradient(
    runner: Runner, world: Any, make_adaptation: Any
) -> None:
    adaptation, rates = make_adaptation(world, MetaSGD(RATE))
    grads = meta_gradients(runner.losses(world, adaptation, rates), world, rates)
    assert (world.episodes.support.batch.ids == 0).any()
    for name in world.model.tables:
        assert not grads[name][0].any()


def tiny_episode() -> tuple[FM, Episodes]:
    """One FM with 13 parameters and two users."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        model = FM(4, [0, 1], embedding_size=2).double()
    support = Rows(
        Batch(torch.tensor([[[1, 2], [1, 3]], [[2, 3], [0, 0]]]), torch.ones(2, 2, 2).double()),
        torch.tensor([[1.0, 0.0], [1.0, 0.0]]).double(),
        torch.tensor([[1.0, 1.0], [1.0, 0.0]]).double(),
    )
    support.batch.values[1, 1] = 0
    query = Rows(
        Batch(torch.tensor([[[2, 3]], [[1, 2]]]), torch.ones(2, 1, 2).double()),
        torch.tensor([[0.0], [1.0]]).double(),
        torch.ones(2, 1).double(),
    )
    return model, Episodes(support, query)


def logit_loss(logits: Tensor, labels: Tensor, mask: Tensor) -> Tensor:
    losses = torch.nn.functional.softplus(logits) - labels * logits
    return (losses * mask).sum() / mask.sum().clamp_min(1)


@pytest.mark.parametrize("check", [torch.autograd.gradcheck, torch.autograd.gradgradcheck])
@pytest.mark.parametrize("granularity", ["scalar", "tensor", "element"])
def test_gradients_of_a_whole_episode_equal_finite_differences(
    check: Callable[..., bool], granularity: Any, engine: Engine
) -> None:
    """A base model by itself is adaptable too: its tables are declared the same way."""
    model, episodes = tiny_episode()
    rule = MetaSGD(RATE, granularity=granularity)
    generator = torch.Generator().manual_seed(2)
    params = {
        name: torch.randn(p.shape, generator=generator, dtype=torch.float64).requires_grad_()
        for name, p in model.named_parameters()
    }
    rates = {name: rate.detach().requires_grad_() for name, rate in rule.init(params).items()}
    adaptation = Adaptation(rule, 2, tuple(params))

    def episode_loss(*leaves: Tensor) -> Tensor:
        theta = dict(zip(params, leaves, strict=False))
        alpha = dict(zip(rates, leaves[len(params) :], strict=True))
        output = engine(model, theta, alpha, adaptation, episodes, logit_loss)
        return logit_loss(output, episodes.query.labels, episodes.query.mask)

    assert check(episode_loss, (*params.values(), *rates.values()))


def test_unknown_engine_names_the_nearest() -> None:
    with pytest.raises(ConfigError, match=r"unknown engine 'hihger'; did you mean 'higher'\?"):
        make_engine("hihger")


@pytest.mark.parametrize(
    ("name", "install"), [("higher", r"metaselector\[higher\]"), ("learn2learn", "make peers")]
)
def test_a_missing_library_says_what_installs_it(
    name: str, install: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, name, None)  # as if it were not installed
    with pytest.raises(UserError, match=rf"adapt.engine={name}: .*{install}"):
        make_engine(name)


def test_learn2learn_is_left_unimported(engine: Engine) -> None:
    """Half of it is used; the next one to import it must get all."""
    assert not [name for name in sys.modules if name.split(".")[0] == "learn2learn"]


class Signed:
    """A rule that is neither MAML nor Meta-SGD."""

    learnable = False
    second_order = True

    def init(self, params: Rates) -> dict[str, Tensor]:
        return MAML(RATE).init(params)

    def update(self, params: Rates, grads: Rates, rates: Rates) -> dict[str, Tensor]:
        return {name: p - rates[name] * grads[name].sign() for name, p in params.items()}


def test_a_rule_that_the_library_has_not_is_an_error(
    runner: Runner, world: Any, make_adaptation: Any
) -> None:
    adaptation, rates = make_adaptation(world, Signed())
    if type(runner.engine).__name__ == "FuncEngine":
        expected, _ = runner.expected(world, adaptation, rates)
        torch.testing.assert_close(runner.losses(world, adaptation, rates), expected)
    else:
        with pytest.raises(ConfigError, match=r"rule Signed runs on adapt.engine=func only"):
            runner.output(world, adaptation, rates)


class Tied(nn.Module):
    """Two names for one parameter."""

    tables: frozenset[str] = frozenset()

    def __init__(self) -> None:
        super().__init__()
        self.first = nn.Linear(2, 2, bias=False, dtype=torch.float64)
        self.second = nn.Linear(2, 2, bias=False, dtype=torch.float64)
        self.second.weight = self.first.weight

    def forward(self, batch: Batch) -> Tensor:
        return self.second(torch.tanh(self.first(batch.values))).sum(-1)


@pytest.mark.parametrize("tied_rule", [MAML(RATE), MetaSGD(RATE)], ids=["maml", "meta-sgd"])
def test_a_shared_parameter_adapts_wherever_it_is_used(
    engine: Engine, reference: ModuleType, tied_rule: InnerRule
) -> None:
    _, episodes = tiny_episode()
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        model = Tied()
    params = dict(model.named_parameters())
    assert list(params) == ["first.weight"]
    arguments = (
        model,
        params,
        tied_rule.init(params),
        Adaptation(tied_rule, 2, tuple(params)),
        episodes,
        logit_loss,
    )
    if isinstance(tied_rule, MetaSGD) and type(engine).__name__ == "Learn2learnEngine":
        with pytest.raises(ConfigError, match=r"'second.weight' is 'first.weight'"):
            engine(*arguments)
        return
    expected = [result.output for result in reference.adapt_users(*arguments)]
    torch.testing.assert_close(engine(*arguments), torch.stack(expected), rtol=0, atol=1e-12)
