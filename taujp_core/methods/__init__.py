"""Which methods are there? One a file of this folder; a new one is a new file with a METHOD.

Every method trains τ, from zero or from a finished vector, with AdamW; the head is the frozen zero-shot head. Weight
decay pulls τ to zero, that is θ to θ₀. (The reference code decays θ itself, which adds a multiple of −θ₀ to every task
vector.)
"""

import importlib
import pkgutil

from ..applications import APPLICATIONS, Application
from ..checks import one_of
from .method import OTHERS, Batch, Method, Parameter, of_the_task

__all__ = ["METHODS", "Batch", "Method", "Parameter", "find_method", "of_the_task", "register"]

METHODS: dict[str, Method] = {}


def register(method: Method) -> None:
    """Raises ValueError for a name that is taken, and for another application or other images than there are."""
    if method.name in METHODS:
        raise ValueError(f"there is a method {method.name} already")
    if not isinstance(method.application, Application):
        known = ", ".join(name.upper() for name in APPLICATIONS)
        raise ValueError(f"the application of {method.name} must be an object like {known}, not {method.application!r}")
    one_of(f"kind of other images of {method.name}", method.others, OTHERS)
    METHODS[method.name] = method


def find_method(name: str) -> Method:
    """Raises ValueError for an unknown name."""
    return METHODS[one_of("method", name, METHODS)]


for _module in pkgutil.iter_modules(__path__):
    if hasattr(_file := importlib.import_module(f"{__name__}.{_module.name}"), "METHOD"):
        register(_file.METHOD)
