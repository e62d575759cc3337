"""Which point runs next, and what became of those that ran?

The driver remembers nothing from one call to the next: what is done is what has a notebook. Killed at any moment, it is
called again and goes on with the rest.
"""

from collections import deque
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

from filelock import FileLock, Timeout

from .deaths import DEATHS, earlier_deaths, forget_deaths, note_death
from .point import Outcome, Point, attempts_left, finished_file, forget_failed, forget_left, keep_failed

RETRIES = 2  # of a point that fails


class Engine(Protocol):
    """What runs points: `here.Here` or `cluster.Cluster`. ahead: points that it takes at once; slots: that run at once."""

    ahead: int
    slots: int

    def start(self, point: Point) -> None: ...

    def next(self, seconds: float) -> Outcome | None: ...

    def close(self) -> None: ...


@dataclass
class Tally:
    """Where a study stands. seconds: of the points that were done in this call, by whether they are trainings."""

    points: dict[str, Point]
    done: set[str] = field(default_factory=set)
    open: dict[str, int] = field(default_factory=dict)  # given to the engine: attempts so far, this one among them
    failed: dict[str, Outcome] = field(default_factory=dict)
    blocked: set[str] = field(default_factory=set)  # what they read failed
    deaths: dict[str, int] = field(default_factory=dict)  # of workers, in points that are not done
    seconds: dict[bool, list[float]] = field(default_factory=lambda: {True: [], False: []})
    slots: int = 0

    def seconds_left(self) -> float | None:
        """From the mean time of the points of each kind; None as long as one kind is unknown."""
        total = 0.0
        for training, measured in self.seconds.items():
            left = [key for key in self.left() if bool(self.points[key].run) is training]
            if left and not measured:
                return None
            total += len(left) * sum(measured) / max(1, len(measured))
        return total / max(1, self.slots)

    def left(self) -> set[str]:
        return self.points.keys() - self.done - self.failed.keys() - self.blocked

    def running(self) -> int:
        return min(len(self.open), self.slots)

    def complete(self) -> bool:
        return len(self.done) == len(self.points)


def finished(folder: Path, points: Iterable[Point]) -> Tally:
    """Where the study stands before a call: no kernel is started to know it."""
    tally = Tally({point.key: point for point in points})
    tally.done = {key for key in tally.points if finished_file(folder, key).exists()}
    return tally


def count_earlier_deaths(folder: Path, tally: Tally) -> None:
    """What was begun by a driver that died, or killed it."""
    tally.deaths = earlier_deaths(folder, (tally.points[key] for key in tally.points if key not in tally.done))


def drive(
    folder: Path,
    tally: Tally,
    engine: Engine,
    watch: Callable[[Tally, str | None], None],
    leave_last: bool = False,
) -> None:
    """Run what is not done, each point after those that it reads; failing ones do not stop the others. Points that
    workers died in come after all that can be begun.

    watch(tally, key of the point that just ended or None) is called after each, and about once a second.
    leave_last: a point that nothing runs beside any more, and no worker died in, is not begun.
    """
    needs = {key: set(tally.points[key].after) - tally.done for key in tally.left()}
    readers: dict[str, list[str]] = {}
    for key, others in needs.items():
        for other in others:
            readers.setdefault(other, []).append(key)
    for key in [key for key, deaths in tally.deaths.items() if deaths >= DEATHS]:
        fail(folder, tally, died(folder, key))
    begun = (key for key in tally.points if key in needs and not needs[key] and key not in tally.failed)
    ready = deque(sorted(begun, key=lambda key: tally.deaths.get(key, 0)))
    while ready or tally.open:
        if leave_last and not tally.open and tally.left() == {ready[0]} and ready[0] not in tally.deaths:
            return
        while ready and len(tally.open) < engine.ahead:
            tally.open[ready[0]] = 1
            engine.start(tally.points[ready.popleft()])
        tally.slots = engine.slots
        outcome = engine.next(1.0)
        if outcome:
            if settle(folder, tally, outcome, engine):
                ready.append(outcome.key)
            for reader in readers.get(outcome.key, []):
                needs[reader] -= tally.done
                if not needs[reader]:
                    ready.append(reader)
        watch(tally, outcome.key if outcome else None)


def settle(folder: Path, tally: Tally, outcome: Outcome, engine: Engine) -> bool:
    """A point is done, tried again, or failed; True if it is to be begun once more, after all others."""
    key = outcome.key
    if not outcome.error and not outcome.died:
        tally.open.pop(key)
        tally.done.add(key)
        tally.seconds[bool(tally.points[key].run)].append(outcome.seconds)
        tally.deaths.pop(key, None)
        forget_failed(folder, key)
        forget_deaths(folder, key)
    elif outcome.died:
        tally.open.pop(key)
        tally.deaths[key] = note_death(folder, tally.points[key])
        if tally.deaths[key] < DEATHS:
            for path in attempts_left(folder, key):
                path.unlink(missing_ok=True)
            return True
        fail(folder, tally, died(folder, key))
    elif tally.open[key] <= RETRIES:
        tally.open[key] += 1
        forget_left(folder, outcome)
        engine.start(tally.points[key])
    else:
        tally.open.pop(key)
        fail(folder, tally, outcome)
    return False


def fail(folder: Path, tally: Tally, outcome: Outcome) -> None:
    """What reads the point is not run. The next call tries it anew, as if no worker had died in it."""
    key = outcome.key
    tally.failed[key] = outcome
    tally.deaths.pop(key, None)
    keep_failed(folder, outcome)
    forget_deaths(folder, key)
    for point in tally.points.values():  # in their order, so that what a blocked point feeds comes later
        if point.key not in tally.done and {key, *tally.blocked} & set(point.after):
            tally.blocked.add(point.key)


def died(folder: Path, key: str) -> Outcome:
    """Of a point that is given up, with what its last attempt left."""
    said = (
        f"{DEATHS} workers in a row died in it without a word, as where memory runs out; the same command tries it anew"
    )
    *others, last = [path.name for path in attempts_left(folder, key)] or [""]
    for name in others:
        forget_left(folder, Outcome(key, 0.0, left=name))
    return Outcome(key, 0.0, said, said, last, died=True)


class Busy(RuntimeError):
    """Another driver has the study."""


@contextmanager
def only_driver(folder: Path) -> Iterator[None]:
    """The operating system frees the lock of a driver that dies. Raises Busy if another one lives."""
    folder.mkdir(parents=True, exist_ok=True)
    lock = FileLock(folder / ".lock")
    try:
        lock.acquire(timeout=0)
    except Timeout:
        raise Busy(f"another process is running the study {folder.name}: wait for it, or stop it first") from None
    try:
        yield
    finally:
        lock.release()
