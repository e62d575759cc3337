"""How are several mistakes in one call told together?"""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Self


class Mistakes(ValueError):
    """What is wrong with a call, a sentence each."""

    def __init__(self) -> None:
        super().__init__()
        self.sentences: list[str] = []

    @contextmanager
    def told(self) -> Iterator[None]:
        """Keep the sentence of an error, and go on."""
        try:
            yield
        except (OSError, TypeError, ValueError) as error:
            self.sentences.append(str(error))

    def answer(self) -> None:
        """Raises itself if there are any."""
        if self.sentences:
            raise self

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, *more: object) -> None:
        if kind is None:
            self.answer()
