"""Try one input: its outcome, time and memory."""

from __future__ import annotations

import resource
import shutil
import signal
import time
import traceback
import warnings
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from types import FrameType
from typing import Any, Literal, NamedTuple

from benchmarks import measure
from benchmarks.fuzz.target import Different, Target, random_of
from metaselector.common.errors import UserError

ROOT = Path(__file__).parents[2]
MOST_MB = 2000.0
"""Hard limit on the memory of an input; it counts as large long before."""
WAITING = 10
"""Limit on wall-clock time, as a multiple of the limit on processor time."""

Kind = Literal["success", "refused", "traceback", "different", "slow", "large", "hung", "crashed"]
"""Possible outcomes. All but the first two are findings. A process that had to be killed has hung;
one that ended by itself has crashed."""


class Outcome(NamedTuple):
    """Outcome of an input.

    Attributes:
        kind: one of :data:`Kind`.
        said: message of the exception.
        where: innermost line of this project in the traceback.
        trace: traceback of a finding.
        seconds: processor time.
        mb: largest growth of the process in megabytes (10^6 bytes).
    """

    kind: Kind
    said: str = ""
    where: str = ""
    trace: str = ""
    seconds: float = 0.0
    mb: float = 0.0

    @property
    def is_finding(self) -> bool:
        return self.kind not in ("success", "refused")


class _TooLong(BaseException):
    """Raised when time is up. It is a BaseException, so ``except Exception`` does not catch it."""


def attempt(task: Callable[[], object], seconds: float, megabytes: float) -> Outcome:
    """Run `task` in the main thread under two time limits.

    Args:
        seconds: limit on processor time, after which it is interrupted when Python code runs next.
            The limit on wall-clock time is :data:`WAITING` times as long, as the machine may be
            busy.
        megabytes: growth in memory from which on it counts as large.
    """
    before, started = _memory_mark(), time.process_time()
    for number in (signal.SIGPROF, signal.SIGALRM):
        signal.signal(number, _ring)
    try:
        try:
            # Repeatedly, since the first signal may be lost, for example in a destructor.
            signal.setitimer(signal.ITIMER_PROF, seconds, 0.5)
            signal.setitimer(signal.ITIMER_REAL, WAITING * seconds, 0.5)
            task()
        finally:
            signal.setitimer(signal.ITIMER_PROF, 0)
            signal.setitimer(signal.ITIMER_REAL, 0)
        found = Outcome("success")
    except UserError as error:
        found = Outcome("refused", _line(error))
    except Different as error:
        found = Outcome("different", _line(error))
    except _TooLong as error:
        found = _finding("slow", error, f"more than {seconds:g} s")
    except MemoryError as error:
        found = _finding("large", error, _line(error))
    except (Exception, SystemExit) as error:
        found = _finding("traceback", error, f"{type(error).__name__}: {_line(error)}")
    took, grown = time.process_time() - started, (measure.held("VmHWM") - before) * 1024 / 1e6
    if grown > megabytes and not found.is_finding:
        found = Outcome("large", f"{grown:.0f} MB")
    return found._replace(seconds=took, mb=max(grown, 0.0))


def try_input(target: Target, seed: int, number: int, scratch: Path) -> Outcome:
    """Write an input of `target` into the folder `scratch` and read it.

    A slow or large input is tried again and the second try counts: the machine may have been busy,
    or something was imported or compiled in the first one.
    """
    for _ in range(2):
        shutil.rmtree(scratch, ignore_errors=True)
        scratch.mkdir(parents=True)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            try:
                target.write(random_of(seed, target.name, number), scratch)
            except Exception as error:  # a defect of the fuzzer, which must not end the campaign
                return _finding("traceback", error, f"the input could not be made: {error!r}")
            found = attempt(lambda: target.read(scratch), target.seconds, target.megabytes)
        if found.kind not in ("slow", "large"):
            break
    return found


def limit_memory() -> None:
    """Limit the growth of this process to :data:`MOST_MB`."""
    most = int(measure.held("VmData") * 1024 + MOST_MB * 1e6)
    resource.setrlimit(resource.RLIMIT_DATA, (most, resource.getrlimit(resource.RLIMIT_DATA)[1]))


def _memory_mark() -> int:
    """Reset the memory peak; return the kilobytes that are resident now."""
    with suppress(OSError):  # if the kernel forbids it, peaks count from the start
        Path("/proc/self/clear_refs").write_text("5")
    return measure.held("VmRSS")


def _ring(number: int, frame: FrameType | None) -> Any:
    raise _TooLong


def _finding(kind: Kind, error: BaseException, said: str) -> Outcome:
    trace = "".join(traceback.format_exception(error))
    return Outcome(kind, said, _place(error), trace[-20_000:])


def _line(error: BaseException) -> str:
    return " ".join(str(error).split())[:300]


def _place(error: BaseException) -> str:
    """``metaselector/data/encoded/dataset.py:210 load``."""
    for frame in reversed(traceback.extract_tb(error.__traceback__)):
        path = Path(frame.filename)
        if path.is_relative_to(ROOT) and "benchmarks" not in path.parts:
            return f"{path.relative_to(ROOT)}:{frame.lineno} {frame.name}"
    return "elsewhere"
