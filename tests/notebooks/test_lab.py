"""`make lab` hands out notebooks as JupyterLab would write them, so that none is modified on opening."""

import asyncio
import json
import platform
import shutil
from pathlib import Path

import nbformat
from jupyter_client.manager import start_new_kernel

from analysis.jupyterlab import Notebooks

ROOT = Path(__file__).parents[2]


def got(folder: Path, name: str, **options) -> dict:
    return asyncio.run(Notebooks(root_dir=str(folder)).get(name, **options))


def test_the_metadata_are_what_the_kernel_says(tmp_path):
    shutil.copy(ROOT / "notebooks/90_report.ipynb", tmp_path)
    before = (tmp_path / "90_report.ipynb").read_text()
    model = got(tmp_path, "90_report.ipynb")
    manager, client = start_new_kernel(kernel_name="python3")
    try:
        said = client.kernel_info(reply=True, timeout=60)["content"]["language_info"]
        metadata = model["content"]["metadata"]
        assert metadata["language_info"] == said
        assert metadata["kernelspec"]["display_name"] == manager.kernel_spec.display_name
    finally:
        client.stop_channels()
        manager.shutdown_kernel(now=True)
    assert (tmp_path / "90_report.ipynb").read_text() == before  # the file is only read
    cells = nbformat.read(tmp_path / "90_report.ipynb", 4).cells
    assert [cell["source"] for cell in model["content"]["cells"]] == [cell.source for cell in cells]


def test_others_files_stay_as_they_are(tmp_path):
    notebook = nbformat.v4.new_notebook(metadata={"kernelspec": {"name": "julia", "display_name": "Julia"}})
    nbformat.write(notebook, tmp_path / "julia.ipynb")
    (tmp_path / "a.json").write_text("{}")
    assert got(tmp_path, "julia.ipynb")["content"]["metadata"] == notebook.metadata
    assert got(tmp_path, "a.json")["content"] == "{}"
    assert got(tmp_path, "julia.ipynb", content=False)["content"] is None
    assert platform.python_version() not in json.dumps(got(tmp_path, "julia.ipynb")["content"])
