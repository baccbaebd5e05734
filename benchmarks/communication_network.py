"""Two workers in separate network namespaces, connected by a cable of any bandwidth.

Only the workers' bytes cross the cable. Linux's token bucket limits its bandwidth. This needs root,
``ip`` and ``tc`` (Debian's iproute2).
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
    """How to start workers 0 and 1 so that they find each other.

    Attributes:
        namespaces: those of the two workers; empty if they share the machine's network.
        link: name of the network interface, the same for both.
    """

    namespaces: tuple[str, ...] = ()
    link: str = "lo"

    def prefix(self, rank: int) -> list[str]:
        """Prefix of a worker's command."""
        return ["ip", "netns", "exec", self.namespaces[rank]] if self.namespaces else []

    def environment(self, rank: int, workers: int) -> dict[str, str]:
        """Environment variables for torch and gloo; a single worker needs none of the addresses."""
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
        """Limit the bandwidth in both directions; None removes the limit."""
        for space in self.namespaces:
            where = ["tc", "-n", space, "qdisc"]
            subprocess.run([*where, "del", "dev", LINK, "root"], capture_output=True, check=False)
            if bits_per_second is not None:
                rate = f"{bits_per_second:.0f}bit"
                # Full buffers delay packets and lose none, like an idle switch.
                shape = ["tbf", "rate", rate, "burst", "128kb", "limit", "16mb"]
                _call([*where, "add", "dev", LINK, "root", *shape])


def sent(link: str) -> int:
    """Bytes sent by a network interface of this process's namespace, headers included."""
    lines = Path("/proc/net/dev").read_text(encoding="utf-8").splitlines()
    (line,) = (line for line in lines if line.split(":")[0].strip() == link)
    return int(line.split(":")[1].split()[8])


@contextmanager
def cable() -> Iterator[Network]:
    """Create two namespaces with a cable between them, and remove them afterwards.

    Raises:
        UserError: this system does not allow it; the message says what is missing.
    """
    for tool in ("ip", "tc"):
        if shutil.which(tool) is None:
            raise UserError(
                f"`{tool}` not found: install iproute2, or use --no-cable, which counts bytes on "
                "the loopback device and predicts the times of slow networks"
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
            f"`{' '.join(command)}` failed: {done.stderr.strip()}; a separate network needs root "
            "and a kernel with network namespaces; or use --no-cable"
        )
