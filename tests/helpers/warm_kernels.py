"""Where do the tests' notebooks get their kernels? From one process that has imported what all of them import.

That is six seconds of a core a kernel, and a test command starts some forty; xdist's workers come from there, too. A
plugin of pytest, which pyproject.toml loads. The libraries are imported before the kernel's first cell; what is of this project, it imports itself.
"""

import os
import shlex
import shutil
import subprocess
import sys
import tempfile
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
GIVEN = (
    "TAUJP_WARM_KERNELS"  # is set where kernels are warm already: in xdist's processes, and in those that tests start
)


def pytest_configure(config) -> None:
    """Of the first process: others inherit its environment."""
    if sys.platform != "linux" or GIVEN in os.environ:  # elsewhere a process that has threads cannot be forked
        return
    folder = Path(tempfile.mkdtemp())
    environment = read_at_import()
    write_kernel(folder, str(folder / "socket"), environment)
    # What it says at its end, of semaphores that kernels left, is not of the tests.
    server = subprocess.Popen(
        [sys.executable, program, "serve", folder / "socket", *LIBRARIES], stderr=subprocess.DEVNULL
    )
    os.environ[GIVEN] = str(folder)
    os.environ["JUPYTER_PATH"] = os.pathsep.join([str(folder), *filter(None, [os.environ.get("JUPYTER_PATH")])])
    config.add_cleanup(lambda: (server.kill(), server.wait(), shutil.rmtree(folder)))


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_setupnodes(specs) -> None:
    if folder := os.environ.get(GIVEN):
        launcher = [sys.executable, "-I", "-S", program, "null", Path(folder) / "socket", "python"]
        for spec in specs:
            spec.python = shlex.join(map(str, launcher))
