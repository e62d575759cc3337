"""How are points run without an engine, one after the other in this process?"""

import queue
import threading
from pathlib import Path

from .point import Outcome, Point, kill_kernels, run_point


class Here:
    """One point at a time. It runs in a thread, for in the main thread nbclient takes Ctrl-C for itself."""

    ahead = slots = 1

    def __init__(self, folder: Path):
        self.folder = folder
        self.thread = threading.Thread()
        self.outcomes: queue.SimpleQueue[Outcome] = queue.SimpleQueue()

    def start(self, point: Point) -> None:
        run = lambda: self.outcomes.put(run_point(str(self.folder), point))  # noqa: E731
        self.thread = threading.Thread(target=run, daemon=True)
        self.thread.start()

    def next(self, seconds: float) -> Outcome | None:
        """The next outcome; None if there is none within so many seconds."""
        try:
            return self.outcomes.get(timeout=seconds)
        except queue.Empty:
            return None

    def close(self) -> None:
        """Of a point that still runs the kernel ends here: its training goes on from its last saved state."""
        kill_kernels()
        if self.thread.ident:
            self.thread.join(10)  # until the attempt has noticed, and writes nothing any more
