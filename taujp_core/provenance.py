"""Where does a number come from? From this hardware, these versions of packages, this git commit."""

import json
import platform
import resource
import subprocess
import sys
from contextlib import suppress
from importlib.metadata import version
from pathlib import Path

import psutil
import torch

# Of the repository, as git takes it: what a number may come from. Texts and results are no code.
CODE = ("taujp_core", "analysis", "notebooks", "benchmarks", "tests", "pyproject.toml", "environment.yml", "Makefile")
CODE += (":(glob)*.py",)


def provenance() -> dict[str, object]:
    """Plain data for a record: processor, threads, memory in GiB, accelerator, versions, commit."""
    return {
        "hardware": {
            "processor": processor_name(),
            "cores": psutil.cpu_count(logical=True),
            "threads": torch.get_num_threads(),
            "memory_gib": round(psutil.virtual_memory().total / 2**30, 1),
            "accelerator": torch.cuda.get_device_name() if torch.cuda.is_available() else None,
        },
        "versions": {
            "python": platform.python_version(),
            **{name: version(name) for name in ("taujp", "torch", "open_clip_torch", "numpy")},
        },
        "commit": git_commit(),
    }


def processor_name() -> str:
    cpuinfo = Path("/proc/cpuinfo")
    if cpuinfo.is_file():
        for line in cpuinfo.read_text().splitlines():
            if line.startswith("model name"):
                return line.split(":", 1)[1].strip()
    return platform.processor() or platform.machine()


def git_commit() -> str | None:
    """Commit of the source tree, with "+" if any of its code differs from it; None outside a repository."""
    root = Path(__file__).resolve().parents[1]

    def git(*arguments: str) -> str:
        return subprocess.run(["git", *arguments], cwd=root, capture_output=True, text=True, check=True).stdout

    def is_code(state: str, name: str) -> bool:
        """Outputs of a notebook that was run are none."""
        if state.strip() != "M" or not name.endswith(".ipynb"):
            return True
        return code_cells(git("show", f"HEAD:{name}")) != code_cells((root / name).read_text(encoding="utf-8"))

    try:
        if Path(git("rev-parse", "--show-toplevel").strip()) != root:
            return None  # installed below somebody else's repository
        changed = git("status", "--porcelain", "--no-renames", "--", *CODE).splitlines()
        return git("rev-parse", "--short=12", "HEAD").strip() + "+" * any(is_code(one[:2], one[3:]) for one in changed)
    except (OSError, subprocess.CalledProcessError):
        return None


def code_cells(notebook: str) -> list | None:
    with suppress(ValueError, KeyError, TypeError):
        return [cell["source"] for cell in json.loads(notebook)["cells"] if cell["cell_type"] == "code"]


def peak_memory_mib() -> float:
    """Largest resident memory of this process so far, and of the accelerator if there is one (the larger)."""
    unit = 1 if sys.platform == "darwin" else 1024
    resident = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit / 2**20
    accelerator = torch.cuda.max_memory_allocated() / 2**20 if torch.cuda.is_available() else 0.0
    return max(resident, accelerator)
