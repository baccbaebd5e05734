"""MetaSelector in Python: fit, evaluate, adapt, save and load, in the style of scikit-learn."""

from __future__ import annotations

import shutil
import tempfile
import weakref
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from html import escape
from pathlib import Path
from typing import Any, Self

import pandas as pd
import torch

from metaselector.api.notebook import default_progress
from metaselector.api.parameters import Parameters
from metaselector.api.predictor import Predictor
from metaselector.api.settings import make_config
from metaselector.common.errors import ConfigError, UserError
from metaselector.common.progress import Progress
from metaselector.config import Config
from metaselector.data.own.frame import frame_log
from metaselector.data.raw.frames import Frame, is_frame
from metaselector.inference.model_card import CARD_DATA, ModelCard
from metaselector.inference.trained import TrainedModel, open_trained
from metaselector.meta.variants import Variant
from metaselector.report.support import SUPPORT_FILE
from metaselector.report.tasks import TASKS_FILE
from metaselector.runs.environment import check_device
from metaselector.runs.run import Run
from metaselector.runs.saved_config import save_config
from metaselector.runs.session import session
from metaselector.runs.stages.evaluate import evaluate
from metaselector.runs.stages.prepare import prepare_run
from metaselector.runs.stages.train import meta_train_selectors, pretrain_base_models

NEEDED: tuple[Variant, ...] = ("sample-selector", "metaselector")
"""Variants that must be trained for prediction."""
_SHOWN = ["model", "auc", "logloss"]


class MetaSelector(Predictor, Parameters):
    """Learns from a data set how to weigh and adapt base models for each user.

    Args:
        base_models: names of base models, or their settings by name; by default the data set's.
        seed: random seed.
        config: base settings, as a YAML file or a :class:`Config`.
        directory: run directory for data, checkpoints and results, like ``--run`` of the command
            line; results of an earlier run with the same settings are reused. By default a
            temporary directory that is removed with this object.
        progress: reports progress; by default a notebook shows it, and nothing else does.
            :class:`metaselector.common.progress.Bars` shows bars in a terminal.
        allow_code: whether the file `config` may name Python code to run, ``file.py:Class`` or
            ``package.module.Class``; other arguments always may.
        **settings: sections such as ``adapt={"steps": 3}``, or single settings such as
            ``threads=1``.

    Attributes:
        config: all settings, as used by :meth:`fit`.

    Raises:
        ConfigError: a setting is unknown or its value invalid.

    Example:
        >>> import pandas as pd
        >>> from metaselector import MetaSelector
        >>> pairs = [(user, row) for user in range(8) for row in range(20)]
        >>> log = pd.DataFrame([(u, i % 10, (u * i) % 5 + 1, 60 * i) for u, i in pairs])
        >>> log.columns = ["user", "item", "stars", "at"]
        >>> columns = {"user": "user", "item": "item", "label": "stars", "threshold": 4}
        >>> columns["time"] = {"column": "at", "unit": "seconds"}
        >>> quick = {"pretrain": {"epochs": 1}}
        >>> model = MetaSelector({"lr": quick, "fm": quick}, meta_train={"epochs": 1})
        >>> user = model.fit(log, columns).adapt(log[log["user"] == 3])
        >>> user.predict(pd.DataFrame({"item": [3, 4], "at": [2000, 2000]})).shape
        (2,)
        >>> user.weights.columns.tolist()
        ['lr', 'fm']
    """

    def __init__(
        self,
        base_models: Sequence[str] | Mapping[str, Mapping[str, Any]] | None = None,
        *,
        seed: int = 0,
        config: Config | Path | str | None = None,
        directory: Path | str | None = None,
        progress: Progress | None = None,
        allow_code: bool = False,
        **settings: Any,
    ) -> None:
        self._keep(
            base_models=base_models,
            seed=seed,
            config=config,
            directory=directory,
            progress=progress,
            allow_code=allow_code,
            **settings,
        )
        self._directory = None if directory is None else Path(directory)
        self._progress = progress or default_progress()
        self._run: Run | None = None
        self._trained: TrainedModel | None = None
        self._evaluated = False
        self.config = self._configured(None)

    def fit(
        self,
        dataset: str | Path | Frame,
        columns: Mapping[str, Any] | None = None,
        *,
        users: Frame | None = None,
        items: Frame | None = None,
        data: Path | str | None = None,
        data_directory: Path | str = "data",
    ) -> Self:
        """Prepare the data, train the base models, and meta-train MetaSelector.

        Args:
            dataset: name of a data set, such as ``"movielens-100k"``; path of a YAML schema; or a
                data frame of pandas, Polars, Arrow or DuckDB, whose rows are read from memory.
            columns: roles of a data frame's columns, as for
                :func:`metaselector.data.own.frame.frame_log`: ``{"user": "user_id", "item":
                "item_id", "time": {"column": "at", "unit": "seconds"}, "label": "clicked",
                "features": ["device"]}``.
            users, items: data frames with features of users and items, described in `columns`.
            data: your own copy of the raw files; nothing is downloaded then.
            data_directory: directory for downloaded data sets.

        Raises:
            UserError: a setting or the data is invalid; the message says what and where.
        """
        if is_frame(dataset) and columns is None:
            raise ConfigError("fit: a data frame needs columns=, the roles of its columns")
        directory = self._place()
        tables = None
        if is_frame(dataset) and columns is not None:
            dataset, tables = frame_log(dataset, columns, directory / "frame", users, items)
        elif columns is not None or users is not None or items is not None:
            raise ConfigError("fit: columns, users and items need a data frame; leave them out")
        self.config = self._configured(str(dataset))
        run = Run(directory, self.config)
        with self._threads(), session(run, self._progress) as progress:
            source = None if data is None else Path(data)
            prepare_run(run, source, Path(data_directory), tables)
            pretrain_base_models(run, progress)
            meta_train_selectors(run, progress, NEEDED)
            save_config(run)
        self._run, self._trained, self._evaluated = run, None, False
        return self

    def evaluate(self) -> pd.DataFrame:
        """Evaluate all models on *test*, like ``metaselector evaluate``.

        Simplified MetaSelector and the row user-finetuned are trained first, if necessary.

        Returns:
            ``results.csv`` of the run directory; with new users, the overview of all support sizes;
            with several tasks, the overview of all tasks.

        Raises:
            UserError: the model was not fitted, or was loaded without its data.
        """
        run = self._fitted_run()
        with self._threads(), session(run, self._progress) as progress:
            meta_train_selectors(run, progress)
            evaluate(run, progress)
        names = (TASKS_FILE, SUPPORT_FILE, "results.csv")
        path = next(path for name in names if (path := run.directory / name).exists())
        self._evaluated = True
        return pd.read_csv(path, keep_default_na=False, na_values=[""])

    def __repr__(self) -> str:
        state = "not fitted" if self._run is None and self._trained is None else "fitted"
        config = self.config if self._trained is None else self._trained.config
        results = self._results()
        facts = [_short(config.dataset), " + ".join(config.base_models), state]
        if results is not None:
            mine = results["model"] == "metaselector"
            facts.append(f"test logloss {results.loc[mine, 'logloss'].mean():.3f}")
        return f"{type(self).__name__}({', '.join(facts)})"

    def _repr_html_(self) -> str:
        results = self._results()
        table = "" if results is None else results[_SHOWN].round(4).to_html(index=False, border=0)
        return f"<p><code>{escape(repr(self))}</code></p>{table}"

    def _results(self) -> pd.DataFrame | None:
        """The results table, if this object has evaluated, or loaded an evaluated run."""
        if self._run is None or not self._evaluated:
            return None
        try:
            found = pd.read_csv(self._run.directory / "results.csv")
            return None if found.empty or not {*_SHOWN} <= {*found} else found
        except (OSError, ValueError):  # none was written, or somebody has changed it
            return None

    def save(self, directory: Path | str) -> None:
        """Write everything that prediction needs, without the training rows, and :attr:`card`.

        Raises:
            ConfigError: a similarity of rows cannot be saved.
        """
        card = self.card  # before a directory that holds this very model is replaced
        self.trained.save(Path(directory))
        if card is not None:
            card.write(Path(directory))

    @property
    def card(self) -> ModelCard | None:
        """What to know of the model before using it; ``print(model.card.markdown())``.

        None if it was loaded from a directory without one. Raises :class:`UserError` before
        :meth:`fit`.
        """
        if self._run is not None:
            return ModelCard.of_run(self.trained, self._run)
        place = self._directory if self.trained else None
        if place is None or not (place / CARD_DATA).exists():
            return None
        return ModelCard.read(place)

    @classmethod
    def load(
        cls, directory: Path | str, *, device: str | None = None, allow_code: bool = False
    ) -> Self:
        """Load a model written by :meth:`save`, or a trained run directory.

        Args:
            device: torch device; by default the one used for training.
            allow_code: whether to run Python code that the model names, ``file.py:Class`` or
                ``package.module.Class``; set it only if you trust the model's source.

        Raises:
            ConfigError: the model names Python code, and `allow_code` is not set.
            CheckpointError, DataError: a file is missing or damaged.
        """
        path = Path(directory)
        changes = {} if device is None else {"device": device}
        trained, run = open_trained(
            path,
            changes=changes,
            before=lambda config: check_device(config.device),
            allow_code=allow_code,
        )
        self = cls(config=trained.config, seed=trained.seed, directory=path)
        self._run, self._trained, self._evaluated = run, trained, True
        return self

    @property
    def run_directory(self) -> Path:
        """The directory of the run, with its tables and figures; raises as :meth:`evaluate`."""
        return self._fitted_run().directory

    @property
    def trained(self) -> TrainedModel:
        """The trained model; raises :class:`UserError` before :meth:`fit`."""
        if self._trained is None:
            self._trained = TrainedModel.of_run(self._fitted_run())
        return self._trained

    def _fitted_run(self) -> Run:
        if self._run is None and self._trained is not None:
            raise UserError("this model was loaded without the data that evaluation needs")
        if self._run is None:
            raise UserError("the model is not fitted yet; call fit first")
        return self._run

    def _place(self) -> Path:
        if self._directory is not None:
            return self._directory
        temporary = tempfile.mkdtemp(prefix="metaselector-")
        weakref.finalize(self, shutil.rmtree, temporary, ignore_errors=True)
        return Path(temporary)

    def _configured(self, dataset: str | None) -> Config:
        given = self.get_params(deep=False)
        del given["directory"], given["progress"]
        return make_config(dataset, **given)

    @contextmanager
    def _threads(self) -> Iterator[None]:
        """Use the number of torch threads of the settings in a context."""
        check_device(self.config.device)
        before = torch.get_num_threads()
        torch.set_num_threads(self.config.threads_of_process)
        try:
            yield
        finally:
            torch.set_num_threads(before)


def _short(dataset: str) -> str:
    """The name of a data set; of the path of a schema, its file or folder."""
    path = Path(dataset)
    return path.stem if path.suffix else path.name
