"""One input: what came of it, how long it took and how much memory."""

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
"""What an input may take before it gets no more: it is large long before."""

WAITING = 10
"""How much longer an input may take by the wall's clock than of the processor's time."""

Kind = Literal["success", "refused", "traceback", "different", "slow", "large", "hung", "crashed"]
"""What may come of an input. All but the first two are findings; a process that had to be ended has
hung, and one that ended itself has crashed."""


class Outcome(NamedTuple):
    """What came of an input.

    Attributes:
        kind: in one word.
        said: the message of what was raised.
        where: the innermost place of this project that raised it.
        trace: the traceback of a finding.
        seconds: of the processor's time that it took.
        mb: megabytes (10^6 bytes) that the process grew by at most while it took them.
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
    """Raised by the clock; no handler of errors takes it for one."""


def attempt(task: Callable[[], object], seconds: float, megabytes: float) -> Outcome:
    """Do `task` under two clocks, in the main thread.

    Args:
        seconds: of this processor's time, after which it is ended where Python gets to end it; by
            the wall's clock it has :data:`WAITING` times as long, since a machine may be busy.
        megabytes: from which on it is large.
    """
    before, started = _memory_mark(), time.process_time()
    for number in (signal.SIGPROF, signal.SIGALRM):
        signal.signal(number, _ring)
    try:
        try:
            # Again and again: the first one may be lost, as in a destructor.
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
    """Write an input of `target` into the folder `scratch`, and read it.

    What is slow or large is tried a second time, which counts: a machine may be busy, and
    something may be imported or compiled the first time.
    """
    for _ in range(2):
        shutil.rmtree(scratch, ignore_errors=True)
        scratch.mkdir(parents=True)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            try:
                target.write(random_of(seed, target.name, number), scratch)
            except Exception as error:  # a defect of the fuzzer's, which must not end a campaign
                return _finding("traceback", error, f"the input could not be made: {error!r}")
            found = attempt(lambda: target.read(scratch), target.seconds, target.megabytes)
        if found.kind not in ("slow", "large"):
            break
    return found


def limit_memory() -> None:
    """Let this process grow by :data:`MOST_MB` at most."""
    most = int(measure.held("VmData") * 1024 + MOST_MB * 1e6)
    resource.setrlimit(resource.RLIMIT_DATA, (most, resource.getrlimit(resource.RLIMIT_DATA)[1]))


def _memory_mark() -> int:
    """Kilobytes that are resident now, from which on a peak counts."""
    with suppress(OSError):  # a kernel that does not let us: peaks then count from the start
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
