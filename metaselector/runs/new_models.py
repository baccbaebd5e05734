"""Build the untrained models of a run, with whole tables or with this worker's rows of them."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeVar

from torch import nn

from metaselector.config import Config
from metaselector.data.encoded.schema import Schema
from metaselector.models import registry
from metaselector.models.build import build_mixture, build_selector
from metaselector.models.mixture import Mixture
from metaselector.training.peer_learning.views import viewed

if TYPE_CHECKING:
    from metaselector.training.distributed.sharded.files import ShardedFiles

Model = TypeVar("Model", bound=nn.Module)


@dataclass(frozen=True)
class NewModels:
    """Builds untrained models.

    Attributes:
        config: the run's settings.
        schema: of its data.
        sharded: the workers that share tables, if any.
    """

    config: Config
    schema: Schema
    sharded: ShardedFiles | None = None

    def base(self, name: str, seed: int, *, draw: bool = True) -> nn.Module:
        """A base model on the run's device.

        Args:
            draw: whether its initial values matter; if not, sharded tables are 0.
        """
        settings, config = self.config.base_models[name], self.config

        def build() -> nn.Module:
            model = registry.build_base_model(
                settings.model or name, self.schema, settings.options, seed, called=name
            )
            return viewed(model, name, config, self.schema)

        return self._built(build, f"base_models.{name}", draw).to(config.device)

    def mixture(self, models: Mapping[str, nn.Module], config: Config, seed: int) -> Mixture:
        """Base models under a fresh selector of the settings `config`, in evaluation mode."""

        def build() -> nn.Module:
            return build_selector(config.selector, self.schema, len(models), seed)

        selector = self._built(build, f"selector.kind={config.selector.kind}", True)
        return build_mixture(models, self.schema, config, seed, selector)

    def _built(self, build: Callable[[], Model], name: str, draw: bool) -> Model:
        if self.sharded is None:
            return build()
        # Slow to import.
        from metaselector.training.distributed.sharded.initial import TablesInPieces, keep_blocks

        mesh, num_ids = self.sharded.mesh, self.sharded.num_rows
        with TablesInPieces(num_ids, mesh, name, draw):
            model = build()
        keep_blocks(model, num_ids, mesh, name)
        return model
