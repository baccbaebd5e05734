"""Two workers in network namespaces of their own, joined by a cable of any bandwidth.

What crosses the cable are the workers' bytes alone, and Linux's token bucket makes it as slow as
is asked for. That needs root, ``ip`` and ``tc`` (Debian's iproute2).
"""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from metaselector.common.errors import UserError

WORKERS = 2
LINK = "cable"
PORT = "29500"


@dataclass(frozen=True)
class Network:
    """How to start worker 0 and 1 so that they find each other.

    Attributes:
        namespaces: of the two workers; empty where they share the machine's own.
        link: name of the network interface, the same in both.
    """

    namespaces: tuple[str, ...] = ()
    link: str = "lo"

    def prefix(self, rank: int) -> list[str]:
        """What comes before the command of a worker."""
        return ["ip", "netns", "exec", self.namespaces[rank]] if self.namespaces else []

    def environment(self, rank: int, workers: int) -> dict[str, str]:
        """What torch and gloo read; alone, nothing is set."""
        if workers == 1:
            return {"WORLD_SIZE": "1"}
        return {
            "RANK": str(rank),
            "LOCAL_RANK": str(rank),
            "WORLD_SIZE": str(workers),
            "MASTER_ADDR": _address(0) if self.namespaces else "127.0.0.1",
            "MASTER_PORT": PORT,
            "GLOO_SOCKET_IFNAME": self.link,
        }

    def limit(self, bits_per_second: float | None) -> None:
        """Make the cable as slow as this, in both directions; None: as fast as it is."""
        for space in self.namespaces:
            where = ["tc", "-n", space, "qdisc"]
            subprocess.run([*where, "del", "dev", LINK, "root"], capture_output=True, check=False)
            if bits_per_second is not None:
                rate = f"{bits_per_second:.0f}bit"
                # Full buffers hold packets back, and none is lost: as in a switch that is idle.
                shape = ["tbf", "rate", rate, "burst", "128kb", "limit", "16mb"]
                _call([*where, "add", "dev", LINK, "root", *shape])


def sent(link: str) -> int:
    """Bytes that have left this process's namespace by a network interface, headers included."""
    lines = Path("/proc/net/dev").read_text(encoding="utf-8").splitlines()
    (line,) = (line for line in lines if line.split(":")[0].strip() == link)
    return int(line.split(":")[1].split()[8])


@contextmanager
def cable() -> Iterator[Network]:
    """Two namespaces and the cable between them, until the end.

    Raises:
        UserError: this system does not let us; says what is missing.
    """
    for tool in ("ip", "tc"):
        if shutil.which(tool) is None:
            raise UserError(
                f"no `{tool}`: install iproute2, or leave bandwidths out (--no-cable counts bytes "
                "on the loopback device, and computes what a slow network would take)"
            )
    names = tuple(f"metaselector-{os.getpid()}-{rank}" for rank in range(WORKERS))
    try:
        for name in names:
            _call(["ip", "netns", "add", name])
            _call(["ip", "-n", name, "link", "set", "lo", "up"])
        ends = ["type", "veth", "peer", "name", LINK, "netns", names[1]]
        _call(["ip", "link", "add", LINK, "netns", names[0], *ends])
        for rank, name in enumerate(names):
            _call(["ip", "-n", name, "addr", "add", f"{_address(rank)}/24", "dev", LINK])
            _call(["ip", "-n", name, "link", "set", LINK, "up"])
        yield Network(names, LINK)
    finally:
        for name in names:
            subprocess.run(["ip", "netns", "del", name], capture_output=True, check=False)


def _address(rank: int) -> str:
    return f"10.213.0.{rank + 1}"


def _call(command: list[str]) -> None:
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        raise UserError(
            f"`{' '.join(command)}` failed: {done.stderr.strip()}; a network of our own needs root "
            "and a kernel with network namespaces; --no-cable does without"
        )
