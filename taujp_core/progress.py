"""One line that shows how far long work is; silent where nobody watches (papermill, CI, a redirected log)."""

import sys

from tqdm import tqdm


class Progress:
    """Counts steps of `images_per_step` images: done, total, images per second, time left."""

    def __init__(self, title: str, steps: int, images_per_step: int, first_step: int = 0):
        self.images = images_per_step
        self.bar = tqdm(
            desc=title,
            total=steps * images_per_step,
            initial=first_step * images_per_step,
            unit="image",
            unit_scale=True,
            leave=False,
            dynamic_ncols=True,
            disable=not sys.stderr.isatty(),
        )

    def step(self, **notes: str) -> None:
        self.bar.set_postfix(notes, refresh=False)
        self.bar.update(self.images)

    def close(self) -> None:
        self.bar.close()


def say(line: str) -> None:
    """A line on the terminal, where somebody watches."""
    if sys.stderr.isatty():
        tqdm.write(line, file=sys.stderr)
