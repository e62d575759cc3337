"""How far is the study, on one line of a terminal?"""

import sys

from tqdm import tqdm

from .driver import Tally


class Line:
    """One line, gone when the study is through; silent where nobody watches."""

    def __init__(self):
        self.bar = tqdm(bar_format="{desc}", leave=False, dynamic_ncols=True, disable=not sys.stderr.isatty())

    def show(self, tally: Tally) -> None:
        if not self.bar.disable:
            self.bar.set_description_str(described(tally))

    def say(self, sentence: str) -> None:
        """Above the line, or wherever standard output goes."""
        tqdm.write(sentence, file=sys.stdout)
        sys.stdout.flush()

    def close(self) -> None:
        self.bar.close()


def described(tally: Tally) -> str:
    parts = [f"{len(tally.done)} of {len(tally.points)} points done", f"{tally.running()} running"]
    parts += [f"{len(tally.failed)} failed"] if tally.failed else []
    parts += [f"deaths of workers: {sum(tally.deaths.values())}"] if tally.deaths else []
    if tally.open and not tally.slots:
        parts.append("waiting for workers")
    elif (left := tally.seconds_left()) is not None:
        parts.append(f"about {duration(left)} left")
    return ", ".join(parts)


def duration(seconds: float) -> str:
    """In the largest unit that is not below 2 of it."""
    for unit, length in (("h", 3600), ("min", 60)):
        if seconds >= 2 * length:
            return f"{seconds / length:.0f} {unit}"
    return f"{seconds:.0f} s"
