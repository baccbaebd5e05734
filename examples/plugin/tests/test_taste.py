"""The model satisfies the contract of base models."""

from metaselector_taste import Taste

from metaselector.testing import check_base_model


def test_it_is_a_base_model() -> None:
    check_base_model(Taste, {"size": 3})
