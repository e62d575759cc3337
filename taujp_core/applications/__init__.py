"""Which ways are there to apply a task vector? One a file of this folder; a new one is a new file with an APPLICATION.

Tables and records hold an application's name. Everything else holds the object: a method has its application, and a
vector that of its method.
"""

import importlib
import pkgutil

from ..checks import one_of
from .application import Application, EditedData

__all__ = ["APPLICATIONS", "Application", "EditedData", "find_application", "register"]

APPLICATIONS: dict[str, Application] = {}


def register(application: Application) -> None:
    """Raises ValueError for a name that is taken."""
    if application.name in APPLICATIONS:
        raise ValueError(f"there is an application {application.name} already")
    APPLICATIONS[application.name] = application


def find_application(name: str) -> Application:
    """Raises ValueError for an unknown name."""
    return APPLICATIONS[one_of("application", name, APPLICATIONS)]


for _module in pkgutil.iter_modules(__path__):
    if hasattr(_file := importlib.import_module(f"{__name__}.{_module.name}"), "APPLICATION"):
        register(_file.APPLICATION)
