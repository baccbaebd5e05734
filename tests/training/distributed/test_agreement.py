"""What one process says, it hears itself."""

from __future__ import annotations

from metaselector.training.distributed.agreement import Agreement


def test_alone() -> None:
    agreement = Agreement(2)
    assert agreement.hear() == (0, 0)
    agreement.say(15, 0)
    assert agreement.hear() == (15, 0)
    assert agreement.hear() == (0, 0)
