"""One point: its notebook is there only if it came to its end; what is published of it names no folder."""

import subprocess
import threading

import nbformat
import psutil

import analysis.studies.point
from analysis.studies.command import main
from analysis.studies.point import Point, attempts_left, finished_file, run_point

pytest_plugins = ["batch_fixtures"]


def test_a_finished_notebook_has_its_time_and_no_folders(here, counting):
    (here.folder / "study/points").mkdir(parents=True)
    here.home.mkdir()
    point = Point("one", str(here.folder / counting(0)[0]["notebook"]), {"number": 3})
    outcome = run_point(str(here.folder / "study"), point)
    assert (outcome.key, outcome.error, outcome.left) == ("one", "", "")
    notebook = nbformat.read(finished_file(here.folder / "study", "one"), 4)
    assert notebook.cells[-1].outputs[0].text == "9\n"
    assert notebook.metadata.batch.key == "one"
    cells = sum(cell.metadata.papermill.duration for cell in notebook.cells)
    assert cells < notebook.metadata.batch.seconds <= outcome.seconds
    assert str(here.folder) not in finished_file(here.folder / "study", "one").read_text()
    assert run_point(str(here.folder / "study"), point).seconds < cells  # it is there


def test_a_failing_notebook_leaves_its_cells_and_its_reason(here, counting, capsys):
    assert main([str(here.study("grid", notebooks=counting(5, fails=True))), "--workers", "1"]) == 1
    (notebook,) = (here.home / "runs/grid/points").glob("*.failed.ipynb")
    assert "AssertionError: as it was told" in capsys.readouterr().out
    assert "as it was told" in notebook.with_suffix(".txt").read_text()
    assert "as it was told" in notebook.read_text()
    assert not list((here.home / "runs/grid/points").glob(".*"))


def test_finished_notebooks_go_where_the_study_wants_them(here, counting):
    study = here.study("grid", notebooks=counting(2), results="shown/here")
    assert main([str(study), "--workers", "1"]) == 0
    copied = here.folder / "shown/here/counting.ipynb"
    (point,) = (here.home / "runs/grid/points").glob("*.ipynb")
    assert copied.read_bytes() == point.read_bytes()


def test_what_a_worker_gives_back_when_it_ends_is_no_death(tmp_path, monkeypatch):
    """Its kernel is killed, and nothing stays of the attempt; of one that fails, what it left."""
    (tmp_path / "points").mkdir()
    point = Point("one", "one.ipynb", {})

    def killed(*arguments, **options):
        raise RuntimeError("Kernel died")

    monkeypatch.setattr(analysis.studies.point.papermill, "execute_notebook", killed)
    outcome = run_point(str(tmp_path), point)
    assert [path.name for path in attempts_left(tmp_path, "one")] == [outcome.left]
    attempts_left(tmp_path, "one")[0].unlink()
    with subprocess.Popen(["sleep", "600"]) as child:
        monkeypatch.setattr(analysis.studies.point, "ENDING", threading.Event())
        monkeypatch.setattr(analysis.studies.point, "KERNELS", [psutil.Process(child.pid)])
        analysis.studies.point.dask_teardown(None)
        assert child.wait(60) < 0
    run_point(str(tmp_path), point)
    assert attempts_left(tmp_path, "one") == []
