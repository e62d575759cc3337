"""Which sources of pictures are there? One file each; a new one is its file and its place in this list."""

from .class_folders import ClassFolders
from .hub import Hub
from .in_memory import InMemory
from .published import Published
from .rendered import Package
from .tables import Table

# As a suite file's entry may have them; what is published has a `hub` beside it.
SOURCES = (ClassFolders, Hub, Table, Package, Published)

__all__ = ["SOURCES", "ClassFolders", "Hub", "InMemory", "Package", "Published", "Table"]
