"""The whole episode inside one module's forward."""

from __future__ import annotations

from torch import Tensor, nn

from metaselector.adapt.engine import Adaptation, Engine, Loss
from metaselector.adapt.rules import Tensors
from metaselector.adapt.touched import index_rows, rows_of_batch, take_rows
from metaselector.data.episodes import Episodes


class EpisodeLoss(nn.Module):
    """Adapt on support, predict the query, return the query loss.

    Everything the outer loop learns is a parameter of this module, so that a wrapper such as
    DistributedDataParallel sees the inner loop as one forward pass.

    Args:
        model: the network that adapts.
        rates: the inner learning rates, by name.
        adaptation: what the inner loop does.
        engine: who runs it.
        loss: mean loss of one user's rows, for the inner loop; also of all query rows together, for
            the outer loop.

    Attributes:
        row_sparse: whether tables get sparse gradients, of the rows that are touched.
    """

    def __init__(
        self, model: nn.Module, rates: Tensors, adaptation: Adaptation, engine: Engine, loss: Loss
    ) -> None:
        super().__init__()
        self.row_sparse = True
        self.model = model
        self.adaptation = adaptation
        self.engine = engine
        self.loss = loss
        self._rate_names = tuple(rates)
        # A ParameterDict would refuse the dots in parameter names.
        self.alpha = nn.ParameterList(
            nn.Parameter(rate.detach().clone(), requires_grad=adaptation.rule.learnable)
            for rate in rates.values()
        )

    @property
    def rates(self) -> dict[str, Tensor]:
        return dict(zip(self._rate_names, self.alpha, strict=True))

    def forward(self, episodes: Episodes) -> Tensor:
        """Mean loss over all query rows of the meta-batch, a scalar.

        The gradient of a table, and of rates with a row for each of a table's, is sparse: it has
        the rows that the meta-batch touches.
        """
        tables: frozenset[str] = frozenset(self.model.tables)  # type: ignore[arg-type]
        params: dict[str, Tensor] = dict(self.model.named_parameters())
        rates = self.rates
        rows, local = rows_of_batch(episodes)
        take = take_rows if self.row_sparse else index_rows
        for name in tables:
            if name in rates and rates[name].shape == params[name].shape:
                rates[name] = take(rates[name], rows)
            params[name] = take(params[name], rows)
        output = self.engine(self.model, params, rates, self.adaptation, local, self.loss)
        return self.loss(output, episodes.query.labels, episodes.query.mask)

    def accumulate_gradients(self, episodes: Episodes, users_at_once: int) -> float:
        """Add the gradients of the mean loss to those of the parameters, some users at a time.

        Equal to ``self(episodes).backward()`` but for rounding, in the memory of `users_at_once`.

        Returns:
            the mean loss.
        """
        rows = max(int(episodes.query.mask.sum()), 1)
        total = 0.0
        for chunk in episodes.split(users_at_once):
            loss = self(chunk) * (int(chunk.query.mask.sum()) / rows)
            loss.backward()
            total += loss.item()
        return total
