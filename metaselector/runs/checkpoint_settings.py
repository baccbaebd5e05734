"""The settings that a checkpoint depends on: if any of them changes, it is trained again."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from metaselector.config import AdaptConfig, Config
from metaselector.config.plugins.registry import identity
from metaselector.data.splitting.protocol import Window
from metaselector.meta.variants import FINETUNED, Variant, config_of
from metaselector.models.precomputed import scored_names
from metaselector.models.score_files import scores_digest
from metaselector.training.transfer import TransferSource


@dataclass(frozen=True)
class CheckpointSettings:
    """Collects the settings that each checkpoint of a run records, as JSON.

    Attributes:
        config: the run's settings; only those that affect training are recorded.
        data_sha256: digest of the prepared data.
        source: the run whose base models initialise this run's, if any.
    """

    config: Config
    data_sha256: str
    source: TransferSource | None

    def base(self, name: str, window: Window, seed: int) -> dict[str, Any]:
        """Return what a base model depends on."""
        return self._shared(seed, (name,), (window,)) | {"window": window}

    def learned(self, variant: Variant, seed: int) -> dict[str, Any]:
        """Return what the result of meta-training depends on."""
        of_variant = config_of(variant, self.config)
        adapt, finetuning = of_variant.adapt, {"finetune_steps", "finetune_rates"}
        if variant in FINETUNED:
            plain = variant == "user-finetuned-plain"
            included = {"support_size"} | (finetuning if plain else set())
            found = adapt.model_dump(mode="json", include=included)
            config = {"adapt": found if plain else found | _tuned_on(adapt)}
            if not plain:  # it may start from the sample-level selector
                config |= {"selector": self._learned("sample-selector", of_variant)}
        else:
            config = self._learned(variant, of_variant)
            if variant == "user-finetuned-residuals":
                config["adapt"] |= _tuned_on(adapt)
        if self.config.evaluate.max_users is not None:  # of valid, too
            config |= {"evaluate": {"max_users": self.config.evaluate.max_users}}
        shared = self._shared(seed, tuple(self.config.base_models), ("early", "train"))
        return shared | config | {"variant": variant}

    def _learned(self, variant: Variant, config: Config) -> dict[str, Any]:
        """Return the settings of meta-training."""
        no_effect = {"engine", "max_users_per_chunk", "compared_rules"}
        no_effect |= {"finetune_steps", "finetune_rates", "finetune_users"}
        found = config.model_dump(mode="json", include={"selector", "meta_train"})
        adapt = config.adapt.model_dump(mode="json", exclude=no_effect)
        if variant == "sample-selector":  # without an inner loop
            adapt = {key: adapt[key] for key in ("support_size", "inner_dropout", "task_weights")}
            for key in ("outer_lr_theta", "outer_lr_alpha", "keep_sign", "rate_bounds"):
                del found["meta_train"][key]
        found["adapt"] = adapt
        for section, key in (("selector", "kind"), ("adapt", "rule")):
            named = found[section].get(key)
            if named:
                found[section][key] = identity(named)
        if "residuals" in adapt:
            measures = adapt["residuals"]["similarities"]
            adapt["residuals"]["similarities"] = [identity(name) for name in measures]
        return found

    def _shared(
        self, seed: int, models: tuple[str, ...], windows: tuple[Window, ...]
    ) -> dict[str, Any]:
        """Return data, windows (dates only if given), seed and base models.

        A base model in peer learning depends on all of its peers.
        """
        taught = self.config.taught
        if set(models) & set(taught):
            models = tuple(n for n in self.config.base_models if n in models or n in taught)
        split = "cold" if self.config.protocol == "cold" else "split"
        config = self.config.model_dump(mode="json", include={split, "base_models"})
        if split == "split" and config[split]["dates"] is None:
            del config[split]["dates"]
        config["base_models"] = {name: config["base_models"][name] for name in models}
        for name, model in config["base_models"].items():
            for key in ("model", "estimator"):
                model[key] = model[key] and identity(model[key])
            if model["estimator"]:  # its options may name files, too
                model["options"] = {
                    key: identity(value) if isinstance(value, str) and ".py:" in value else value
                    for key, value in model["options"].items()
                }
            scores = self.config.base_models[name].scores
            if scores is not None:
                model["scores"]["file"] = scores_digest(scores)
        if set(models) & set(taught):
            config["peer_learning"] = self.config.peer_learning.used
        if self.source is not None:
            # The content of the source's checkpoints, not their location.
            scored = scored_names(self.config.base_models)
            learned = {
                f"{name}-{window}": self.source.digest(name, window, seed)
                for name in models
                if name not in scored
                for window in windows
            }
            transfer = self.config.transfer.model_dump(mode="json", exclude={"init_from"})
            config["transfer"] = transfer | {"init_sha256": learned}
        return config | {"seed": seed, "data_sha256": self.data_sha256}


def _tuned_on(adapt: AdaptConfig) -> dict[str, int]:
    """How many users the fair rival is tuned on; checkpoints that do not say it used 1,000."""
    users = adapt.finetune_users
    return {} if users == 1000 else {"finetune_users": users}
