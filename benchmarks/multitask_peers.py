"""Multi-task models of DeepCTR-Torch and torch-rechub, fed by :mod:`benchmarks.peers`.

Both libraries have Shared-Bottom, MMoE, PLE and ESMM; torch-rechub also has AITM. With our
parameters, DeepCTR-Torch's first three and both libraries' ESMM predict what ours do, and so do
torch-rechub's others once their batch-norm does nothing (tests/benchmarks/multitask_peers). Neither
library can leave out labels that were not observed, so every label here is observed in every row.
The differences:

- DeepCTR-Torch's gates are made linear (no hidden units), and its penalties are turned off. Its
  output layers have no bias, and its PLE computes a shared gate on the last level that nothing
  reads.
- torch-rechub's MLP has batch-norm that cannot be turned off, in the gates too, whose layers have
  a bias. Its ESMM looks up one field twice. Only our AITM has the calibrator in its loss.
- Ours have an L2 penalty in Adam. Theirs is turned off, which is faster.
"""

from __future__ import annotations

import io
from collections.abc import Callable, Mapping
from contextlib import redirect_stdout
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

from benchmarks import deepctr_torch_peer, torch_rechub_peer
from benchmarks.contenders import Contender, New, Settings, bare_loops
from benchmarks.peers import Column, installed
from metaselector.models.external.deepctr_torch import silence_version_check

TASKS = 2


class Sizes(NamedTuple):
    """Sizes that are equal in all libraries.

    Attributes:
        hidden: layer widths of Shared-Bottom's bottom and of each expert.
        tower: hidden layer widths of each tower, except in ESMM.
        experts: number of MMoE's experts.
        levels: number of PLE's levels.
        task_experts, shared_experts: experts per PLE level, of each task and shared.
        esmm: hidden layer widths of ESMM's towers.
        aitm: layer widths of AITM's bottoms.
    """

    hidden: tuple[int, ...] = (64,)
    tower: tuple[int, ...] = (32,)
    experts: int = 4
    levels: int = 2
    task_experts: int = 2
    shared_experts: int = 2
    esmm: tuple[int, ...] = (64, 64)
    aitm: tuple[int, ...] = (64, 32)


def our_options(sizes: Sizes, embedding_size: int) -> dict[str, dict[str, Any]]:
    """Options of our models with these sizes, keyed by their names in the registry."""
    width, tower = {"embedding_size": embedding_size}, {"tower_sizes": sizes.tower}
    experts = {"expert_sizes": sizes.hidden} | tower
    return {
        "shared-bottom": {"bottom_sizes": sizes.hidden} | tower | width,
        "mmoe": {"experts": sizes.experts} | experts | width,
        "ple": {
            "levels": sizes.levels,
            "task_experts": sizes.task_experts,
            "shared_experts": sizes.shared_experts,
        }
        | experts
        | width,
        "esmm": {"hidden_sizes": sizes.esmm} | width,
        "aitm": {"bottom_sizes": sizes.aitm} | tower | width,
    }


def deepctr_torch_models(
    fields: Mapping[str, Column], sizes: Sizes, embedding_size: int, device: str = "cpu"
) -> dict[str, New]:
    """Functions that create DeepCTR-Torch's models, keyed by the names of ours."""
    silence_version_check()
    from deepctr_torch.models.multitask import ESMM, MMOE, PLE, SharedBottom

    features = deepctr_torch_peer.features(fields, embedding_size)
    same: dict[str, Any] = {"l2_reg_linear": 0, "l2_reg_embedding": 0, "device": device}
    tower = {"tower_dnn_hidden_units": sizes.tower} | same
    experts = {"expert_dnn_hidden_units": sizes.hidden, "gate_dnn_hidden_units": ()} | tower
    return {
        "shared-bottom": lambda: SharedBottom(
            features, bottom_dnn_hidden_units=sizes.hidden, **tower
        ),
        "mmoe": lambda: MMOE(features, num_experts=sizes.experts, **experts),
        "ple": lambda: PLE(
            features,
            shared_expert_num=sizes.shared_experts,
            specific_expert_num=sizes.task_experts,
            num_levels=sizes.levels,
            **experts,
        ),
        "esmm": lambda: ESMM(features, **{**same, "tower_dnn_hidden_units": sizes.esmm}),
    }


def torch_rechub_models(
    fields: Mapping[str, Column], sizes: Sizes, embedding_size: int
) -> dict[str, New]:
    """Functions that create torch-rechub's models, keyed by the names of ours."""
    from torch_rechub.models.multi_task import AITM, ESMM, MMOE, PLE, SharedBottom

    def features() -> list[Any]:
        return torch_rechub_peer.features(fields, embedding_size)

    types = ["classification"] * TASKS
    hidden, tower, towers = (
        {"dims": list(sizes.hidden)},
        {"dims": list(sizes.esmm)},
        [{"dims": list(sizes.tower)}] * TASKS,
    )
    return {
        "shared-bottom": lambda: SharedBottom(features(), types, hidden, towers),
        "mmoe": lambda: MMOE(features(), types, sizes.experts, hidden, towers),
        "ple": lambda: PLE(
            features(),
            types,
            sizes.levels,
            sizes.task_experts,
            sizes.shared_experts,
            hidden,
            towers,
        ),
        "esmm": lambda: _esmm(ESMM, features(), tower),
        "aitm": lambda: AITM(features(), TASKS, {"dims": list(sizes.aitm)}, towers),
    }


def _esmm(model: Callable[..., nn.Module], features: list[Any], tower: dict[str, Any]) -> nn.Module:
    """Create ESMM, which takes the features in two parts and joins them again."""
    return model(features[:1], features[1:], cvr_params=tower, ctr_params=tower)


def of_all_rows(outputs: Tensor) -> Tensor:
    """Probabilities of both tasks, without pCVR, which torch-rechub's ESMM puts first."""
    return outputs[:, -TASKS:]


def peers(
    fields: Mapping[str, Column], labels: Tensor, settings: Settings, sizes: Sizes
) -> dict[str, dict[str, Contender]]:
    """Both peers of each model, each in its library's loop and in a bare one.

    The bare loop runs with plain and with fused Adam.

    Args:
        labels: float ``[n, 2]``, without nan; where the first is 0, so is the second.
        settings: shared settings; `hidden_sizes` is ignored.

    Returns:
        Contenders by the name of our model, then by their own.

    Raises:
        UserError: a peer is not installed.
    """
    found: dict[str, dict[str, Contender]] = {}
    with installed():
        deepctr_torch = deepctr_torch_models(
            fields, sizes, settings.embedding_size, settings.device
        )
        torch_rechub = torch_rechub_models(fields, sizes, settings.embedding_size)
        for name, new in torch_rechub.items():
            found[name] = _torch_rechub(name, new, fields, labels, settings)
            if name in deepctr_torch:
                found[name] |= deepctr_torch_peer.contenders(
                    deepctr_torch[name], fields, labels, settings, of_all_rows
                )
    return found


def _torch_rechub(
    name: str, new: New, fields: Mapping[str, Column], labels: Tensor, settings: Settings
) -> dict[str, Contender]:
    from torch_rechub.trainers import MTLTrainer, mtl_trainer

    inputs = torch_rechub_peer.inputs(fields)
    # The trainer wants a label per output, but never reads the one of ESMM's pCVR.
    answers = labels[:, [1, 0, 1]] if name == "esmm" else labels
    train, test = torch_rechub_peer.loaders(inputs, answers, settings)
    trainer = MTLTrainer(
        new(),
        ["classification"] * answers.shape[1],
        **torch_rechub_peer.trainer_options(mtl_trainer, settings),
    )

    def fit() -> None:
        with redirect_stdout(io.StringIO()):
            trainer.train_one_epoch(train)

    def predict() -> Tensor:
        # The loader also yields labels, which their predict() cannot handle.
        return of_all_rows(torch.tensor(trainer.predict(trainer.model, [x for x, _ in test])))

    loops = bare_loops("torch-rechub", new, inputs, labels, settings, of_all_rows)
    return {"torch-rechub fit": Contender(fit, predict)} | loops
