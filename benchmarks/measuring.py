"""Comparing two pieces of work on a machine that also does other things."""

import os
import resource
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

Work = Callable[[], None]


@dataclass(frozen=True)
class Cost:
    """Seconds of one piece of work: on the clock, and of CPU time of this process and its finished children."""

    wall: float
    cpu: float


@dataclass
class Result:
    """One line of the table.

    ``ratio`` is what the goal is about; ``cpu_ratio`` is the same from CPU time, which other people's load disturbs
    less. ``better`` says on which side of the goal it should be.
    """

    name: str
    measured: str
    reference: str = ""
    ratio: float | None = None
    cpu_ratio: float | None = None
    goal: float | None = None
    better: str = "more"
    note: str = ""
    rows: list[list[str]] = field(default_factory=list)

    @property
    def verdict(self) -> str:
        """Whether the goal is met by the clock, only by CPU time, or not; empty without a goal."""
        if self.goal is None or self.ratio is None:
            return ""
        sign = 1 if self.better == "more" else -1
        if sign * self.ratio >= sign * self.goal:
            return "yes"
        cpu = self.cpu_ratio
        return "by CPU time" if cpu is not None and sign * cpu >= sign * self.goal else "no"


def cpu_seconds() -> float:
    """CPU time of this process and of the children it has waited for."""
    used = [resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    return sum(u.ru_utime + u.ru_stime for u in used)


def cost(work: Work) -> Cost:
    """Do the work once."""
    wall, cpu = time.perf_counter(), cpu_seconds()
    work()
    return Cost(time.perf_counter() - wall, cpu_seconds() - cpu)


def interleaved(works: dict[str, Work], rounds: int) -> dict[str, list[Cost]]:
    """Each piece of work once per round, after one round that is not counted, in turning order.

    Whatever else the machine does meets all of them alike.
    """
    for work in works.values():
        work()
    costs: dict[str, list[Cost]] = {name: [] for name in works}
    names = list(works)
    for number in range(rounds):
        start = number % len(names)
        for name in names[start:] + names[:start]:
            costs[name].append(cost(works[name]))
    return costs


def median_ratio(above: list[Cost], below: list[Cost], kind: str = "wall") -> float:
    """Median over the rounds of the ratio of two costs."""
    return statistics.median(getattr(a, kind) / getattr(b, kind) for a, b in zip(above, below, strict=True))


def median(costs: list[Cost], kind: str = "wall") -> float:
    """Median seconds."""
    return statistics.median(getattr(c, kind) for c in costs)


# A child's peak memory starts at its parent's size, so a small process stands between.
_HELPER = """
import resource, subprocess, sys, time
begun = time.perf_counter()
code = subprocess.run(sys.argv[2:], stdout=open(sys.argv[1], "w"), stderr=subprocess.STDOUT).returncode
wall = time.perf_counter() - begun
used = resource.getrusage(resource.RUSAGE_CHILDREN)
print(code, wall, used.ru_utime + used.ru_stime, used.ru_maxrss / 1024)
"""


def child(
    command: list[str], env: Mapping[str, str] | None = None, log: str = os.devnull
) -> tuple[Cost, float]:
    """Run a program to its end: its cost, and the peak resident memory in MB of its largest process.

    Raises:
        RuntimeError: if it fails; with the end of what it said, if it was given a log.
    """
    helper = [sys.executable, "-I", "-S", "-c", _HELPER, log, *command]
    done = subprocess.run(helper, env=env, stdout=subprocess.PIPE, text=True, check=True)
    code, wall, cpu, memory = done.stdout.split()
    if code != "0":
        said = "" if log == os.devnull else Path(log).read_text()[-2000:]
        raise RuntimeError(f"{' '.join(command[:6])} … ended with {code}\n{said}")
    return Cost(float(wall), float(cpu)), float(memory)
