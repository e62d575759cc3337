"""Which methods are there? One a file of this folder; a new one is a new file with a METHOD.

Every method trains τ, from zero or from a finished vector, with AdamW; the head is the frozen zero-shot head. Weight
decay pulls τ to zero, that is θ to θ₀. (The reference code decays θ itself, which adds a multiple of −θ₀ to every task
vector.)
"""

from ..applications import APPLICATIONS, Application
from ..checks import one_of
from ..registry import Registry, in_files
from .method import OTHERS, Batch, Method, Parameter, Sight, of_the_task

__all__ = ["METHODS", "Batch", "Method", "Parameter", "Sight", "find_method", "of_the_task", "register"]

METHODS: Registry[Method] = Registry("method")
find_method = METHODS.find


def register(method: Method) -> None:
    """Raises ValueError for a name that is taken, and for another application or other images than there are."""
    if not isinstance(method.application, Application):
        known = ", ".join(name.upper() for name in APPLICATIONS)
        raise ValueError(f"the application of {method.name} must be an object like {known}, not {method.application!r}")
    one_of(f"kind of other images of {method.name}", method.others, OTHERS)
    METHODS.register(method)


for _method in in_files(__name__, __path__, "METHOD"):
    register(_method)
