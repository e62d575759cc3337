"""Where does a number come from?

Where a number comes from: hardware, package versions, git commit.
"""

import platform
import resource
import subprocess
import sys
from importlib.metadata import version
from pathlib import Path

import psutil
import torch


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
    """Commit of the source tree, with "+" if files differ from it; None outside a repository."""
    here = Path(__file__).parent

    def git(*arguments: str) -> str:
        return subprocess.run(["git", *arguments], cwd=here, capture_output=True, text=True, check=True).stdout.strip()

    try:
        if Path(git("rev-parse", "--show-toplevel")) != here.resolve().parent:
            return None  # installed below somebody else's repository
        return git("rev-parse", "--short=12", "HEAD") + ("+" if git("status", "--porcelain", "--", ".") else "")
    except (OSError, subprocess.CalledProcessError):
        return None


def peak_memory_mib() -> float:
    """Largest resident memory of this process so far, and of the accelerator if there is one (the larger)."""
    unit = 1 if sys.platform == "darwin" else 1024
    resident = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit / 2**20
    accelerator = torch.cuda.max_memory_allocated() / 2**20 if torch.cuda.is_available() else 0.0
    return max(resident, accelerator)
