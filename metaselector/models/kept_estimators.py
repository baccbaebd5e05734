"""Fitted estimators in formats that run no code when they are read; never pickle.

LightGBM's classifier is kept in LightGBM's own text format. Others are kept by skops, which stores
a scikit-learn estimator as its attributes, and restores only types of scikit-learn, NumPy and SciPy
and those of the module of the class that the settings name.
"""

from __future__ import annotations

import importlib.util
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Literal, NamedTuple, get_args

import numpy as np
import pandas as pd

from metaselector.common.errors import CheckpointError, ConfigError, UserError
from metaselector.common.extras import install_extra
from metaselector.data.interactions import Floats
from metaselector.models.estimators import Estimator, estimator_class, of_positive

Form = Literal["lightgbm", "skops"]
FORMS: tuple[Form, ...] = get_args(Form)
_SUFFIXES: dict[Form, str] = {"lightgbm": "txt", "skops": "skops"}
_FILE_MODULE = "metaselector_file_"
_HARMLESS = frozenset({"sklearn.ensemble._hist_gradient_boosting.predictor.TreePredictor"})
"""Types of scikit-learn that hold only arrays, which skops asks about."""
_COMPARED = 1000
"""Rows on which a kept estimator must predict what the fitted one does."""


class Kept(NamedTuple):
    """A fitted estimator as bytes, and their format."""

    form: Form
    data: bytes


def estimator_file(name: str, form: Form) -> str:
    """The file of the estimator `name` in a saved model."""
    return f"estimator-{name}.{_SUFFIXES[form]}"


def keep(estimator: Estimator, named: str, table: pd.DataFrame) -> Kept | None:
    """Put a fitted estimator into bytes; None if it cannot be kept.

    Args:
        named: its class, as the settings name it.
        table: rows on which the kept one is compared with the fitted one.
    """
    rows = table.iloc[:_COMPARED]
    try:
        made = _kept(estimator)
        if made is None:
            return None
        found = FittedEstimator(made, named, named).probabilities(rows)
        expected = of_positive(estimator.predict_proba(rows), len(rows))
    except Exception:  # whatever a class of somebody else raises when it is taken apart
        return None
    return made if np.allclose(found, expected, rtol=0, atol=1e-9) else None


def _kept(estimator: Any) -> Kept | None:
    if type(estimator).__module__.split(".")[0] == "lightgbm":
        return Kept("lightgbm", estimator.booster_.model_to_string().encode())
    if importlib.util.find_spec("skops") is None:
        return None
    from skops import io

    return Kept("skops", io.dumps(estimator))


def cannot_keep(named: str) -> str:
    """What to do about an estimator of the class `named` that was not kept."""
    if named.split(".")[0] != "lightgbm" and importlib.util.find_spec("skops") is None:
        return f"install skops ({install_extra('skops')}), delete the file and train again"
    return (
        "delete the file and train again if an earlier version wrote it, or leave the estimator "
        "out: only estimators of scikit-learn, pipelines of them and LightGBM's can be kept"
    )


@dataclass(frozen=True)
class FittedEstimator:
    """A kept estimator that predicts.

    Attributes:
        kept: the bytes.
        named: its class, as the settings name it; code of that class may run.
        called: the name of the base model.
    """

    kept: Kept
    named: str
    called: str

    def probabilities(self, table: pd.DataFrame) -> Floats:
        """Probability of a positive label, float64 ``[N]``, for rows like those it was fitted on.

        Raises:
            UserError: its library is not installed, or the bytes are damaged.
        """
        if self.kept.form == "lightgbm":
            found: Floats = np.asarray(self._loaded.predict(table), dtype=np.float64)
            return found
        return of_positive(self._loaded.predict_proba(table), len(table))

    @cached_property
    def _loaded(self) -> Any:
        library = self.kept.form
        if importlib.util.find_spec(library) is None:
            raise UserError(f"base_models.{self.called}: needs {library}; {install_extra(library)}")
        try:
            return self._booster() if library == "lightgbm" else self._restored()
        except ConfigError:
            raise
        except Exception as error:  # whatever the library does with damaged bytes
            reason = " ".join(str(error).split())
            problem = f"base_models.{self.called}: cannot be read by {library} ({reason})"
            raise CheckpointError(f"{problem}; train it again") from error

    def _booster(self) -> Any:
        import lightgbm

        return lightgbm.Booster(model_str=self.kept.data.decode())

    def _restored(self) -> Any:
        from skops import io

        data = self.kept.data
        module = estimator_class(self.named).__module__
        unknown = {*io.get_untrusted_types(data=data)} - _HARMLESS
        own = [name for name in unknown if _module_of(name) == module or _is_of_file(name, module)]
        if others := sorted(unknown.difference(own)):
            raise ValueError(f"contains {others[0]}, which is not of {self.named}")
        with _called_as({_module_of(name) for name in own}, module):
            return io.loads(data, trusted=[*own, *_HARMLESS])


def _module_of(type_name: str) -> str:
    return type_name.rpartition(".")[0]


def _is_of_file(type_name: str, module: str) -> bool:
    """Whether both are of a file, whose module has another name wherever the file lies."""
    return module.startswith(_FILE_MODULE) and type_name.startswith(_FILE_MODULE)


@contextmanager
def _called_as(names: set[str], module: str) -> Iterator[None]:
    """Let a loaded module be imported under other names."""
    added = [name for name in names if name not in sys.modules]
    for name in added:
        sys.modules[name] = sys.modules[module]
    try:
        yield
    finally:
        for name in added:
            del sys.modules[name]
