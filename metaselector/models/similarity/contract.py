"""The contract of similarities of rows, and building those that the settings name."""

from __future__ import annotations

import inspect
from collections.abc import Iterable, Mapping
from typing import Any, Protocol

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from metaselector.common.errors import ConfigError, UserError, mishap, nearest
from metaselector.config.plugins.kinds import SIMILARITIES
from metaselector.data.encoded.dataset import EncodedDataset
from metaselector.data.interactions import Ints
from metaselector.data.splitting.episodes import EpisodeRows

_GIVEN = 4
"""Arguments of a constructor before its options."""


class RowSimilarity(Protocol):
    """How alike a user's query rows and support rows are, in M numbers per pair.

    A model that uses it can be saved if it also has the two methods of
    :class:`~metaselector.models.similarity.saving.SaveableSimilarity`.

    A class of :data:`~metaselector.config.plugins.kinds.SIMILARITIES` is constructed with

    - ``dataset``, an :class:`~metaselector.data.encoded.dataset.EncodedDataset`;
    - ``base_models``, modules by name;
    - ``training_rows``, int64 ``[n]``, positions in the data set of the rows that the base models
      were trained on. It must not read the labels of others;
    - ``probabilities``, float64 ``[n]``, the base models' mean prediction for these rows;
    - its options, as keywords.

    Later calls may pass another data set of the same schema, in which items and users have other
    indices, so remember an item by its id.
    """

    @property
    def names(self) -> tuple[str, ...]:
        """Names of the M numbers; none if the similarity does not apply to the data."""
        ...

    def __call__(self, dataset: EncodedDataset, episodes: EpisodeRows) -> Tensor:
        """Similarities float32 ``[U, Q, S, M]``, in [-1, 1]; anything finite for padding."""
        ...


class Similarities:
    """Several similarities side by side, checked, and 0 where a row is padding.

    Args:
        parts: similarities by name.

    Attributes:
        parts: the similarities by name.
        names: names of all numbers, in order.

    Example:
        >>> class Same:
        ...     names = ("same",)
        ...     def __call__(self, dataset, episodes):
        ...         query, support = episodes.query[:, :, None], episodes.support[:, None, :]
        ...         return torch.from_numpy(np.float32(query == support)).unsqueeze(-1)
        >>> from metaselector.data.planted import planted_world
        >>> dataset = planted_world(2, 10, 4, np.random.default_rng(0)).dataset
        >>> rows = EpisodeRows(np.array([0]), np.array([[-1, 4]]), np.array([[4, -1]]))
        >>> Similarities({"same": Same()})(dataset, rows).squeeze(-1).tolist()
        [[[0.0, 1.0], [0.0, 0.0]]]
    """

    def __init__(self, parts: Mapping[str, RowSimilarity]) -> None:
        self.parts = {name: part for name, part in parts.items() if _checked_names(name, part)}
        self.names = tuple(name for part in self.parts.values() for name in part.names)
        for name in self.names:
            if self.names.count(name) > 1:
                raise ConfigError(f"two similarities have a number '{name}'; rename one of them")

    def __call__(self, dataset: EncodedDataset, episodes: EpisodeRows) -> Tensor:
        """Compute all of them, float32 ``[U, Q, S, M]``.

        Raises:
            ConfigError: one of them fails, or returns something else.
        """
        present = (episodes.query >= 0)[:, :, None] & (episodes.support >= 0)[:, None, :]
        mask = torch.from_numpy(present).unsqueeze(-1)  # [U, Q, S, 1]
        found = [
            _checked_values(name, part, dataset, episodes, mask)
            for name, part in self.parts.items()
        ]
        return torch.cat([mask.new_zeros((*present.shape, 0), dtype=torch.float32), *found], -1)


def make_similarity(
    names: Iterable[str],
    dataset: EncodedDataset,
    base_models: Mapping[str, nn.Module],
    training_rows: Ints,
    probabilities: NDArray[np.floating],
    options: Mapping[str, Mapping[str, Any]] = {},
) -> Similarities:
    """Build the similarities of the given names.

    Args:
        names: names in :data:`~metaselector.config.plugins.kinds.SIMILARITIES`, or
            ``path/to/file.py:Class``.
        dataset, base_models, training_rows, probabilities: what :class:`RowSimilarity` says.
        options: further arguments of each, by name.

    Returns:
        all of them side by side. Those that do not apply to the data have no numbers.

    Raises:
        ConfigError: a similarity or an option is unknown, or a similarity cannot be built.

    Example:
        >>> from metaselector.data.planted import planted_world
        >>> dataset = planted_world(2, 10, 4, np.random.default_rng(0)).dataset
        >>> rows = np.arange(5)
        >>> similarity = make_similarity(["co-residuals"], dataset, {}, rows, np.full(5, 0.5))
        >>> similarity.names  # the rows of this data set have no items
        ()
    """
    given = dataset, base_models, training_rows, np.asarray(probabilities, dtype=np.float64)
    if given[3].shape != training_rows.shape:
        raise ValueError(f"{given[3].shape} probabilities for {training_rows.shape} training rows")
    names = list(names)
    for name in names:
        if names.count(name) > 1:
            raise ConfigError(f"similarity '{name}' is listed twice; remove one")
    for name in options:
        if name not in names:
            raise ConfigError(f"options of similarity '{name}', which is not used; remove them")
    return Similarities({name: _made(name, given, options.get(name, {})) for name in names})


def _made(name: str, given: tuple[Any, ...], options: Mapping[str, Any]) -> RowSimilarity:
    cls = SIMILARITIES.load(name)
    try:
        valid = list(inspect.signature(cls).parameters)[_GIVEN:]
        for option in options:
            if option not in valid:
                known = nearest(option, valid) if valid else "it has none"
                raise ConfigError(f"similarity '{name}': unknown option '{option}'; {known}")
        made: RowSimilarity = cls(*given, **options)
    except ConfigError:
        raise
    except ValueError as error:
        raise ConfigError(f"similarity '{name}': {error}") from error
    except Exception as error:  # whatever a plug-in does
        raise ConfigError(
            f"similarity '{name}': cannot be built ({mishap(error)}); its constructor gets a data "
            "set, base models, training rows and probabilities"
        ) from error
    return made


def _checked_names(name: str, part: RowSimilarity) -> tuple[str, ...]:
    names = getattr(part, "names", None)
    if not isinstance(names, tuple) or not all(isinstance(of, str) for of in names):
        raise ConfigError(f"similarity '{name}': names must be a tuple of strings, one per number")
    if not callable(part):
        raise ConfigError(f"similarity '{name}': has no method __call__(dataset, episodes)")
    return names


def _checked_values(
    name: str, part: RowSimilarity, dataset: EncodedDataset, episodes: EpisodeRows, mask: Tensor
) -> Tensor:
    """What `part` returns, without padding; `mask` is ``[U, Q, S, 1]``."""
    try:
        values = part(dataset, episodes)
    except UserError:
        raise
    except Exception as error:
        raise ConfigError(
            f"similarity '{name}': fails ({mishap(error)}); it is called with a data set and the "
            "rows of episodes"
        ) from error
    expected = f"float32 {[*mask.shape[:-1], len(part.names)]}"
    found = type(values).__name__
    if isinstance(values, Tensor):
        found = f"{str(values.dtype).removeprefix('torch.')} {[*values.shape]}"
    if found != expected:
        raise ConfigError(f"similarity '{name}': returns {found}, not {expected}")
    values = values.detach().cpu().masked_fill(~mask, 0)
    if not values.isfinite().all():
        raise ConfigError(f"similarity '{name}': returns non-finite numbers")
    return values
