"""The models of a run that adapt to users."""

from __future__ import annotations

from metaselector.data.splitting.protocol import Window
from metaselector.meta.adapted import AdaptedModel
from metaselector.meta.variants import Variant, check_rates, make_adaptation
from metaselector.runs.run import Run


def load_adapted(run: Run, variant: Variant, seed: int, window: Window = "full") -> AdaptedModel:
    """What a run learned for a variant, on its base models trained on `window`.

    Raises:
        CheckpointError: a part is missing or damaged, or was trained with different settings.
    """
    learned, config = run.load_learned(variant, seed), run.config.adapt
    mixture = learned.attach(run.load_mixture(window, seed))
    adaptation = make_adaptation(variant, mixture, config)
    check_rates(learned.alpha, adaptation, mixture, run.directory)
    tasks = run.dataset.schema.tasks
    return AdaptedModel.of_settings(mixture, learned.alpha, adaptation, tasks, config)
