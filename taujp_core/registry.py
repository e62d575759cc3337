"""Which things of one kind are there, by name? A file of a folder has one, and a new one is a new file."""

import importlib
import pkgutil
from collections.abc import Iterable
from typing import Any, TypeVar

from .checks import one_of

Thing = TypeVar("Thing")


class Registry(dict[str, Thing]):
    """Things by their `name`. kind: what one of them is called."""

    def __init__(self, kind: str):
        super().__init__()
        self.kind = kind

    def register(self, thing: Any) -> None:
        """Raises ValueError for a name that is taken."""
        if thing.name in self:
            article = "an" if self.kind[0] in "aeiou" else "a"
            raise ValueError(f"there is {article} {self.kind} {thing.name} already")
        self[thing.name] = thing

    def find(self, name: str) -> Thing:
        """Raises ValueError for an unknown name."""
        return self[one_of(self.kind, name, self)]


def in_files(package: str, path: Iterable[str], constant: str) -> list:
    """This constant of every file of the package that has one, in the order of the files' names."""
    files = [importlib.import_module(f"{package}.{module.name}") for module in pkgutil.iter_modules(path)]
    return [getattr(file, constant) for file in files if hasattr(file, constant)]
