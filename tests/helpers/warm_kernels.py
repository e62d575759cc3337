"""Where do nbval's notebooks get their kernels? From one process that has imported what all of them import.

An ordinary kernel takes six seconds of a core to import these libraries. The libraries are imported before the kernel's first
cell; what is of this project, the notebook imports itself. A plugin of pytest that the Makefile loads for the notebooks
(`-p warm_kernels`); xdist's workers come from the same process. Everything else runs without it.
"""

import os
import shlex
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import pytest
from quick_kernels import __file__ as program
from quick_kernels import read_at_import, write_kernel

LIBRARIES = [
    "torch",
    "torchvision.datasets",
    "open_clip",
    "datasets",
    "pandas",
    "scipy.optimize",
    "ipykernel.kernelapp",
]
GIVEN = "TAUJP_WARM_KERNELS"  # is set in xdist's processes, whose kernels are warm already


@contextmanager
def warm_kernels() -> Iterator[Path]:
    """A folder for JUPYTER_PATH; its kernel `python3` is forked from a process that ends with this context."""
    folder = Path(tempfile.mkdtemp())
    write_kernel(folder, str(folder / "socket"), read_at_import())
    # What the process says at its end, of semaphores that kernels left, is not of the tests.
    server = subprocess.Popen(
        [sys.executable, program, "serve", folder / "socket", *LIBRARIES], stderr=subprocess.DEVNULL
    )
    try:
        yield folder
    finally:
        server.kill()
        server.wait()
        shutil.rmtree(folder)


def pytest_configure(config: pytest.Config) -> None:
    """In the first process: others inherit its environment."""
    if sys.platform != "linux" or GIVEN in os.environ:  # elsewhere a process that has threads cannot be forked
        return
    stack = ExitStack()
    config.add_cleanup(stack.close)
    os.environ[GIVEN] = str(stack.enter_context(warm_kernels()))
    os.environ["JUPYTER_PATH"] = os.pathsep.join([os.environ[GIVEN], *filter(None, [os.environ.get("JUPYTER_PATH")])])


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_setupnodes(specs) -> None:
    if folder := os.environ.get(GIVEN):
        launcher = [sys.executable, "-I", "-S", program, "null", Path(folder) / "socket", "python"]
        for spec in specs:
            spec.python = shlex.join(map(str, launcher))
