"""Which rows each step uses: windows of time, protocols, and each user's support and query.

Start with :func:`make_protocol`.
"""

from __future__ import annotations

from metaselector.config import Config
from metaselector.data.encoded.dataset import EncodedDataset
from metaselector.data.splitting.by_date import ByDate
from metaselector.data.splitting.cold import Cold
from metaselector.data.splitting.protocol import EvaluationProtocol
from metaselector.data.splitting.warm import Warm


def make_protocol(dataset: EncodedDataset, config: Config) -> EvaluationProtocol:
    """Create the protocol chosen in the settings."""
    made: dict[str, type[EvaluationProtocol]] = {"warm": Warm, "cold": Cold, "global": ByDate}
    return made[config.protocol](dataset, config)
