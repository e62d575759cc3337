"""Which methods are there? One a file of this folder; a new one is a new file with a METHOD.

Every method trains τ, from zero or from a finished vector, with AdamW; the head is the frozen zero-shot head. Weight
decay pulls τ to zero, that is θ to θ₀. (The reference code decays θ itself, which adds a multiple of −θ₀ to every task
vector.)
"""

import importlib
import pkgutil

from ..checks import one_of
from .method import APPLICATIONS, OTHERS, Batch, Method, Parameter, no_penalty

__all__ = ["METHODS", "Batch", "Method", "Parameter", "application", "find_method", "no_penalty", "register"]

METHODS: dict[str, Method] = {}


def register(method: Method) -> None:
    """Raises ValueError for a name that is taken, and for an application or other images that nobody knows."""
    if method.name in METHODS:
        raise ValueError(f"there is a method {method.name} already")
    one_of(f"application of {method.name}", method.application, APPLICATIONS)
    one_of(f"kind of other images of {method.name}", method.others, OTHERS)
    METHODS[method.name] = method


def find_method(name: str) -> Method:
    """Raises ValueError for an unknown name."""
    return METHODS[one_of("method", name, METHODS)]


def application(method: str) -> str:
    """How vectors of this method are applied: `encoder` or `linearised`."""
    return find_method(method).application


for _module in pkgutil.iter_modules(__path__):
    if hasattr(_file := importlib.import_module(f"{__name__}.{_module.name}"), "METHOD"):
        register(_file.METHOD)
