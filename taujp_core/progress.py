"""How far is long work?

One line that shows how far long work is; silent where nobody watches (papermill, CI, a redirected log).
"""

import sys

from tqdm import tqdm


class Progress:
    """Counts images: done, total, images per second, time left."""

    def __init__(self, title: str, images: int, done: int = 0):
        self.bar = tqdm(
            desc=title,
            total=images,
            initial=done,
            unit="image",
            unit_scale=True,
            leave=False,
            dynamic_ncols=True,
            disable=not sys.stderr.isatty(),
        )

    def advance(self, images: int, **notes: str) -> None:
        self.bar.set_postfix(notes, refresh=False)
        self.bar.update(images)

    def close(self) -> None:
        self.bar.close()


def say(line: str) -> None:
    """A line on the terminal, where somebody watches."""
    if sys.stderr.isatty():
        tqdm.write(line, file=sys.stderr)
