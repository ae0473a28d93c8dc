"""Comparing two pieces of work on a machine that also does other things."""

import os
import resource
import statistics
import time
from collections.abc import Callable
from dataclasses import dataclass, field

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


def child(command: list[str], **options) -> tuple[Cost, float]:
    """Run a program to its end: its cost, and the peak of its resident memory in MB.

    Raises:
        RuntimeError: if it fails.
    """
    begun = time.perf_counter()
    pid = os.posix_spawn(command[0], command, options.get("env", os.environ), file_actions=_quiet(options))
    _, status, usage = os.wait4(pid, 0)
    if status:
        raise RuntimeError(f"{' '.join(command[:6])} … ended with {os.waitstatus_to_exitcode(status)}")
    return Cost(time.perf_counter() - begun, usage.ru_utime + usage.ru_stime), usage.ru_maxrss / 1024


def _quiet(options: dict) -> list[tuple]:
    log = options.get("log", os.devnull)
    flags = os.O_WRONLY | os.O_CREAT | os.O_TRUNC
    return [(os.POSIX_SPAWN_OPEN, 1, log, flags, 0o644), (os.POSIX_SPAWN_DUP2, 1, 2)]
