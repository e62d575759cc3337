"""The repository's own studies: their files are accepted, their trainings are those that the notebooks read, and the
committed full versions have the parameters that they give."""

from pathlib import Path

import nbformat
import pytest

from analysis.paths import in_project
from analysis.studies.notebooks import study_of
from analysis.studies.plan import points_of, theta0_of
from analysis.studies.study import read_study
from analysis.study import configurations
from taujp_core.suites import load_suite
from taujp_core.training.run_store import run_folder

ROOT = Path(__file__).parents[2]
STUDIES = sorted((ROOT / "notebooks" / "experiments").glob("*.yaml"))
RESULTS = sorted((ROOT / "results").glob("*/[0-9]*.ipynb"))
READ = {path: read_study(path) for path in STUDIES}


@pytest.mark.parametrize("path", STUDIES, ids=lambda path: path.stem)
def test_its_head_says_what_it_costs_and_what_to_expect(path):
    head = [line for line in path.read_text().splitlines() if line.startswith("#")]
    assert any(line.startswith("# Costs: ") for line in head)
    assert any(line.startswith("# Expect: ") for line in head)
    assert READ[path].answers.endswith("?") and READ[path].costs


@pytest.mark.parametrize("path", STUDIES, ids=lambda path: path.stem)
def test_what_it_trains_is_what_its_notebooks_read(path, tmp_path, monkeypatch):
    """A training that no notebook reads costs hours for nothing, and shows that the recipe or the known tasks differ."""
    monkeypatch.setenv("TAUJP_HOME", str(tmp_path))
    points = points_of(READ[path])
    if not any(point.run for point in points):  # and its data sets need not be there
        return
    read = set()
    for evaluation in READ[path].notebooks:
        asked = study_of(evaluation.path)(**evaluation.parameters)
        if hasattr(asked, "suite"):
            suite = load_suite(asked.suite)
            theta0 = theta0_of(suite.model, suite.pretrained).fingerprint
            found = configurations(asked.plan(suite))
            read |= {str(run_folder(in_project(asked.store), config, theta0)) for config in found}
    assert {point.run for point in points if point.run} <= read


@pytest.mark.parametrize("path", RESULTS, ids=lambda path: path.stem)
def test_full_versions_were_made_by_a_study(path):
    """One study has the notebook, with the parameters that the committed file was run with.

    Of a result whose code has moved on the study may say more: what the notebook has got since, or has another default of. Where the
    reason says that the study has asked otherwise since, only the names of the parameters are the same.
    """
    (given,) = [
        evaluation.parameters
        for study in READ.values()
        if study.results == path.parent
        for evaluation in study.notebooks
        if evaluation.path.name == path.name
    ]
    cells = nbformat.read(path, 4).cells
    injected: dict = {}
    exec(next(cell.source for cell in cells if "injected-parameters" in cell.metadata.get("tags", [])), {}, injected)
    reasons = (path.parents[1] / "moved_on.txt").read_text(encoding="utf-8").splitlines()
    reason = next((line for line in reasons if line.startswith(f"{path.relative_to(path.parents[1])}: ")), "")
    if "asked otherwise since" in reason:
        assert injected.keys() <= given.keys()
    else:
        assert injected.items() <= given.items() if reason else injected == given
