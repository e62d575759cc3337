"""Where are the notebooks, and how are they opened or run from an empty folder?

They lie in the repository, and in share/taujp/notebooks of an installation from a wheel.
"""

import os
import shutil
import sys
from importlib.metadata import files
from pathlib import Path

import papermill

from taujp_core.checkpoints.writing import write_folder
from taujp_core.files import named_folder

EXPLORE = "36_explore.ipynb"


def folder_of_notebooks() -> Path:
    """Raises FileNotFoundError where they are not installed."""
    root = Path(__file__).parents[2]
    recorded = [Path(str(file.locate())).parent for file in files("taujp") or () if file.name == EXPLORE]
    # `pip install --target` records another place than the one that it writes to.
    for folder in (root / "notebooks", *recorded, root / "share" / "taujp" / "notebooks"):
        if (folder / EXPLORE).is_file():
            return folder.resolve()
    raise FileNotFoundError("the notebooks are not there: install taujp from its wheel, or clone its repository")


def explore() -> None:
    """Run the notebook with its defaults; the page that it writes has the sliders."""
    folder = (named_folder("TAUJP_HOME") or Path.cwd()) / "runs" / "explore"
    folder.mkdir(parents=True, exist_ok=True)
    os.environ.setdefault("TAUJP_HOME", str(Path.cwd()))
    print(
        "Twelve short trainings of the small CLIP, about two minutes on two cores, if they are not there.", flush=True
    )
    papermill.execute_notebook(folder_of_notebooks() / EXPLORE, folder / EXPLORE, progress_bar=sys.stderr.isatty())
    print(f"The sliders are in {folder / 'explore.html'}: open it in a browser.")


def lab(folder: Path, allow_root: bool = False) -> None:
    """Copy the notebooks, if they are not there, and become JupyterLab.

    Raises ValueError for a folder that holds something else, PermissionError for root, whom Jupyter refuses.
    """
    if hasattr(os, "geteuid") and os.geteuid() == 0 and not allow_root:
        raise PermissionError(
            "JupyterLab does not run as root: run `taujp lab` as another user, or `taujp lab --allow-root` in a container of "
            "your own"
        )
    if not (folder / EXPLORE).is_file():
        if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
            raise ValueError(f"{folder} exists and holds no notebooks of taujp: give a new folder")
        source = folder_of_notebooks()

        def copy(made: Path) -> None:
            shutil.copytree(source, made, dirs_exist_ok=True)

        write_folder(folder, copy)
        print(f"The notebooks are in {folder}.", flush=True)
    settings = [
        f"--ServerApp.root_dir={folder.resolve()}",
        "--ServerApp.contents_manager_class=analysis.jupyterlab.Notebooks",
        "--LabApp.default_url=/lab/tree/README.md",
        f"--LabApp.app_settings_dir={folder.resolve() / '.jupyterlab'}",
    ]
    os.execv(sys.executable, [sys.executable, "-m", "jupyterlab", *settings, *["--allow-root"] * allow_root])
