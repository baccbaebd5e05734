"""The complete state of a training run, as tensors and JSON."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor

from metaselector.training.loop.trainable import Trainable


@dataclass
class TrainingState:
    """Progress of a training run.

    Attributes:
        epoch: the current epoch.
        step: steps done in this epoch.
        global_step: steps done in all epochs.
        losses: losses of this epoch's steps.
        history: one record per finished epoch.
        rates: records of the inner learning rates.
        best_loss, best_epoch: state of early stopping.
        seconds: training time over all calls of the command.
        finished: whether training is complete.
    """

    epoch: int
    step: int = 0
    global_step: int = 0
    losses: list[float] = field(default_factory=list)
    history: list[dict[str, Any]] = field(default_factory=list)
    rates: list[dict[str, Any]] = field(default_factory=list)
    best_loss: float = float("inf")
    best_epoch: int = 0
    seconds: float = 0.0
    finished: bool = False


@dataclass(frozen=True)
class Snapshot:
    """State of a training run between two steps.

    Attributes:
        tensors: by kind and name, ``now/<parameter>``, ``best/<name>``,
            ``optimizer/<optimizer>/<parameter>/<key>``, ``shared/<name>``, ``random/cpu``,
            ``random/<device>``.
        record: JSON with ``position``, ``optimizers`` (state that is not a tensor), ``generator``
            and ``epoch_generator`` (numpy's state now, and before the epoch's steps were drawn).
    """

    tensors: dict[str, Tensor]
    record: dict[str, Any]

    @property
    def position(self) -> TrainingState:
        saved = dict(self.record["position"])
        return TrainingState(global_step=saved.pop("rounds", 0), **saved)

    def best(self) -> dict[str, Tensor]:
        """Tensors of the best epoch; empty if there is none."""
        return self._part("best/")

    def _part(self, prefix: str) -> dict[str, Tensor]:
        return {n.removeprefix(prefix): t for n, t in self.tensors.items() if n.startswith(prefix)}

    @classmethod
    def of(
        cls,
        trainable: Trainable,
        position: TrainingState,
        best: Mapping[str, Tensor],
        epoch_generator: Mapping[str, Any],
    ) -> Snapshot:
        """Take a snapshot; tensors are shared with the trainable, not copied."""
        tensors = {f"now/{name}": tensor for name, tensor in trainable.parameters.items()}
        tensors |= {f"best/{name}": tensor for name, tensor in best.items()}
        tensors |= {f"shared/{name}": tensor for name, tensor in trainable.shared_state().items()}
        tensors |= {f"random/{name}": state for name, state in _random_states(trainable).items()}
        plain: list[dict[str, dict[str, Any]]] = []
        for i, optimizer in enumerate(trainable.optimizers):
            plain.append({})
            for index, state in optimizer.state_dict()["state"].items():
                for key, value in state.items():
                    if isinstance(value, Tensor):
                        tensors[f"optimizer/{i}/{index}/{key}"] = value
                    else:
                        plain[-1].setdefault(str(index), {})[key] = value
        record = {
            # The file format keeps the former name "rounds".
            "position": {
                "rounds" if k == "global_step" else k: v for k, v in vars(position).items()
            },
            "optimizers": plain,
            "generator": trainable.generator.bit_generator.state,
            "epoch_generator": dict(epoch_generator),
        }
        return cls(tensors, record)

    @torch.no_grad()
    def restore(self, trainable: Trainable) -> None:
        """Restore everything except numpy's generator, from which the epoch is redrawn first."""
        saved = self._part("now/")
        for name, tensor in trainable.parameters.items():
            tensor.copy_(saved[name])
        for i, optimizer in enumerate(trainable.optimizers):
            states: dict[int, dict[str, Any]] = {}
            for path, tensor in self._part(f"optimizer/{i}/").items():
                index, key = path.split("/", 1)
                states.setdefault(int(index), {})[key] = tensor
            for index, plain in self.record["optimizers"][i].items():
                states.setdefault(int(index), {}).update(plain)
            groups = optimizer.state_dict()["param_groups"]
            optimizer.load_state_dict({"state": states, "param_groups": groups})
        trainable.load_shared_state(self._part("shared/"))
        for name, state in self._part("random/").items():
            if name == "cpu":
                torch.set_rng_state(state)
            else:
                torch.cuda.set_rng_state(state, name)


def _random_states(trainable: Trainable) -> dict[str, Tensor]:
    if trainable.torch_seed is None:
        return {}
    states = {"cpu": torch.get_rng_state()}
    for tensor in trainable.parameters.values():
        if tensor.device.type == "cuda":
            states[str(tensor.device)] = torch.cuda.get_rng_state(tensor.device)
    return states
