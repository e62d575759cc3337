"""The package as others get it: a wheel, installed into a clean folder, works where there is no checkout."""

import shutil
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[2]
PROGRAM = """
import taujp_core, analysis
from pathlib import Path
here = Path.cwd()
assert Path(taujp_core.__file__).is_relative_to(here / "site"), taujp_core.__file__
from analysis.paths import in_project
from analysis.report.tables import report_rows
from taujp_core.datasets import load_split
from taujp_core.pretrained import load_clip
from taujp_core.provenance import provenance
from taujp_core.suites import load_suite
clip, suite = load_clip("mini", device="cpu"), load_suite("mini")
assert len(load_suite("clip8-l14").tasks) == 8
images, labels = load_split(suite.task("uci"), "test")[:4]
assert images.shape == (4, 3, 32, 32)
assert report_rows("addition", "clip8-b32", None).measured.isna().all()  # the published table is there
assert in_project("runs") == here / "runs"
assert provenance()["commit"] is None
import taujp
assert Path(taujp.__file__).is_relative_to(here / "site") and taujp.load_clip is load_clip
from analysis.command.notebooks import folder_of_notebooks
assert folder_of_notebooks().is_relative_to(here / "site"), folder_of_notebooks()
assert (folder_of_notebooks() / "experiments" / "mini-tables.yaml").is_file()
assert all((here / "site" / name / "py.typed").is_file() for name in ("taujp_core", "analysis"))
print("works", clip.fingerprint)
"""


def test_a_wheel_works_outside_the_checkout(tmp_path, mini):
    source = tmp_path / "source"  # setuptools leaves its build beside what it builds
    for name in ("taujp_core", "analysis", "notebooks"):
        shutil.copytree(ROOT / name, source / name, ignore=shutil.ignore_patterns("__pycache__"))
    for name in ("pyproject.toml", "README.md", "LICENSE", "taujp.py"):
        shutil.copy(ROOT / name, source)
    pip = [sys.executable, "-m", "pip", "--quiet", "--disable-pip-version-check"]
    build = [*pip, "wheel", str(source), "--no-deps", "--no-build-isolation", "--wheel-dir", str(tmp_path)]
    subprocess.run(build, check=True, cwd=tmp_path, capture_output=True)
    (wheel,) = tmp_path.glob("taujp-0.2.0-*.whl")
    subprocess.run([*pip, "install", "--no-deps", "--target", str(tmp_path / "site"), str(wheel)], check=True)
    environment = {"PYTHONPATH": str(tmp_path / "site"), "PATH": "", "TAUJP_CACHE": str(tmp_path / "cache")}
    ran = subprocess.run(
        [sys.executable, "-P", "-c", PROGRAM], cwd=tmp_path, env=environment, capture_output=True, text=True
    )
    assert ran.stdout == f"works {mini.fingerprint}\n", ran.stderr[-2000:]


def test_licence_and_citation_name_this_version():
    text = (ROOT / "CITATION.cff").read_text(encoding="utf-8")
    assert "version: 0.2.0" in text
    assert 'version = "0.2.0"' in (ROOT / "pyproject.toml").read_text()
    assert "## 0.2.0" in (ROOT / "CHANGELOG.md").read_text()
    assert (ROOT / "LICENSE").read_text().startswith("MIT License")
