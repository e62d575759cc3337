"""Which ways are there to apply a task vector? One a file of this folder; a new one is a new file with an APPLICATION.

Tables and records hold an application's name. Everything else holds the object: a method has its application, and a
vector that of its method.
"""

from ..registry import Registry, in_files
from .application import Application, EditedData

__all__ = ["APPLICATIONS", "Application", "EditedData", "find_application", "register"]

APPLICATIONS: Registry[Application] = Registry("application")
register, find_application = APPLICATIONS.register, APPLICATIONS.find

for _application in in_files(__name__, __path__, "APPLICATION"):
    register(_application)
