"""Damages of every file that a study writes: each is repaired by the next call, or answered by a sentence with the file's
name; what is whole is not touched, and what may not be read is left alone."""

import json
import random
import shutil
from pathlib import Path

import nbformat
import pytest
from conftest import tiny_clip

import analysis.studies.in_process
import analysis.studies.plan
import taujp_core.training.finetune
import taujp_core.training.state
from analysis.studies import collect
from analysis.studies.command import main
from analysis.studies.damage import DAMAGED, check_notebook, set_damaged_aside
from analysis.studies.point import Outcome, Point, finished_file, lock_file
from taujp_core.files import write_json
from taujp_core.pretrained import load_clip
from taujp_core.task_vectors import TaskVector
from taujp_core.training.config import run_config
from taujp_core.training.run_store import only_process

pytest_plugins = ["batch_fixtures"]
TASKS = ["uci", "signs"]
RECIPE = {"steps": 3, "batch_size": 4}
DAMAGES = ("cut off", "empty", "bytes", "{}", "[]", "another's", "a folder", "gone")
OURS = (
    ".lock", "plan.json", "report.html", "scheduler.json", "scheduler.json.lock", "worker.sh", "worker-0.log", "tls",
    "tls/key.pem", "points", "damaged",
)  # fmt: skip


def trained(point: Point) -> None:
    """What `10_train` does."""
    parameters = point.parameters
    config = run_config(
        "mini", parameters["task"], parameters["method"], tasks=parameters["known"], **parameters["recipe"]
    )
    taujp_core.training.finetune.finetune(
        config, Path(point.run).parents[2], analysis.studies.plan.theta0_of("mini", None)
    )


def run_at_once(folder: str, point: Point) -> Outcome:
    """A point without a kernel."""
    target = finished_file(folder, point.key)
    try:
        if point.run:
            trained(point)
        if not target.exists():
            lock_file(folder, point.key).touch()
            lock_file(folder, point.key).unlink()
            metadata = {"papermill": {"exception": None}, "batch": {"seconds": 1.0}}
            write_json(target, {"cells": [{"source": point.key}], "metadata": metadata, "nbformat": 4})
    except Exception as error:
        return Outcome(point.key, 1.0, f"{type(error).__name__}: {error}")
    return Outcome(point.key, 1.0)


def stopped(*_) -> None:
    raise KeyboardInterrupt


@pytest.fixture(scope="module")
def network():
    """A small one in the place of mini's."""
    clip = tiny_clip(load_clip("mini", device="cpu"))
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(analysis.studies.plan, "theta0_of", lambda model, pretrained: clip)
        yield


@pytest.fixture(scope="module")
def whole(network, tmp_path_factory):
    """A study of two trainings and a notebook, and all its files: `signs` was killed after its second step, `uci` is done.
    What it has when all is done: vectors, and notebooks."""
    place = tmp_path_factory.mktemp("whole")
    with pytest.MonkeyPatch.context() as patched:
        patched.setenv("TAUJP_HOME", str(place / "home"))
        patched.setattr(analysis.studies.in_process, "run_point", run_at_once)
        notebook = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell("1 + 1")])
        nbformat.write(notebook, place / "own.ipynb")
        content = {
            "answers": "Is it whole?", "suites": ["mini"], "methods": ["linear"], "tasks": TASKS, "recipe": RECIPE,
            "notebooks": [{"notebook": "own.ipynb"}],
        }  # fmt: skip
        (place / "grid.yaml").write_text(json.dumps(content))
        assert main([str(place / "grid.yaml"), "--workers", "1"]) == 0
        folder, vectors = place / "home/runs/grid", vectors_of(place)
        plan = json.loads((folder / "plan.json").read_text())["points"]
        signs = Point(**next(point for point in plan if "signs" in point["key"]))
        shutil.rmtree(signs.run)
        finished_file(folder, signs.key).unlink()
        patched.setattr(taujp_core.training.state, "SAVE_SECONDS", 0.0)
        patched.setattr(taujp_core.training.state, "SAVE_SHARE", 1.0)
        patched.setattr(taujp_core.training.finetune, "write_finished", stopped)
        for _ in range(2):
            with pytest.raises(KeyboardInterrupt):
                trained(signs)
    for name in OURS:
        if name in ("tls", "points", "damaged"):
            (folder / name).mkdir(exist_ok=True)
        elif not (folder / name).exists():
            (folder / name).write_text("{}")
    for name in ("failed.ipynb", "failed.txt"):
        (folder / "points" / f"{signs.key}.{name}").write_text("as far as it came")
    write_json(folder / "points" / f"{signs.key}.deaths.json", {"deaths": 2, "saved": None})
    (folder / "points" / f".{signs.key}.01234567.part.ipynb").write_text("{")
    lock_file(folder, signs.key).touch()
    names = {path.name for path in Path(signs.run).iterdir()}
    assert {"config.json", "state.safetensors", "resumed.json", ".lock"} <= names
    return place, vectors


def vectors_of(place: Path) -> dict[str, str]:
    clip = tiny_clip(load_clip("mini", device="cpu"))
    files = sorted((place / "home/runs/mini").glob("*/*/vector.safetensors"))
    return {path.parent.name: TaskVector.load(path, clip).digest() for path in files}


def files_of(place: Path) -> list[str]:
    """Of the study and of its runs, and the folders of these."""
    runs = place / "home/runs"
    found = [runs / "grid" / name for name in OURS]
    found += [*(runs / "grid/points").iterdir(), *runs.glob("mini/*/*/*"), *runs.glob("mini/*/*"), *runs.glob("mini/*")]
    return sorted({str(path.relative_to(place)) for path in found})


def damage(path: Path, how: str, chance: random.Random) -> None:
    size = path.stat().st_size if path.is_file() else 0
    other = path.with_name("other-" + path.name)
    content = {
        "{}": b"{}",
        "[]": b"[]",
        "empty": b"",
        "bytes": chance.randbytes(200),
        "another's": b'{"run": "another"}',
    }
    content["cut off"] = path.read_bytes()[: chance.randrange(max(1, size))] if path.is_file() else b"{"
    if path.is_dir():
        shutil.rmtree(path)
    else:
        path.unlink()
    if how == "a folder":
        path.mkdir()
        (path / "something").touch()
    elif how != "gone":
        path.write_bytes(content[how])
    assert not other.exists()


def unrepaired(whole, tmp_path, monkeypatch, capsys, name: str, how: str, chance: random.Random) -> list[str]:
    pristine, vectors = whole
    place = tmp_path / f"{chance.random()}"
    shutil.copytree(pristine, place, copy_function=shutil.copy2)
    monkeypatch.setenv("TAUJP_HOME", str(place / "home"))
    monkeypatch.setattr(analysis.studies.in_process, "run_point", run_at_once)
    plan = place / "home/runs/grid/plan.json"  # whose runs are in the other place
    plan.write_text(plan.read_text().replace(str(pristine), str(place)))
    damage(place / name, how, chance)
    folder = place / "home/runs/grid"
    collect(folder)
    code = main([str(place / "grid.yaml"), "--workers", "1"])
    said = capsys.readouterr()
    notebooks = [path for path in (folder / "points").iterdir() if path.name != "something"]
    aside = [*(folder / DAMAGED).glob("*")]
    wrong = [
        f"exit code {code}: {said}" * (code != 0 or said.err != ""),
        f"other vectors {vectors_of(place)}" * (vectors_of(place) != vectors),
        f"left over: {sorted(path.name for path in notebooks)}" * (len(notebooks) != 3),
        f"{len(collect(folder))} records" * (len(collect(folder)) != 2),
        *(
            f"{path} was moved without a word: {said.out}" * (path.name.partition("-")[2] not in said.out)
            for path in aside
        ),
    ]
    for notebook in notebooks if not any(wrong) else ():
        check_notebook(notebook)
    shutil.rmtree(place)
    return [f"{name}, {how}: {text}" for text in wrong if text]


def test_drawn_damages_are_repaired(whole, tmp_path, monkeypatch, capsys):
    seed = random.randrange(10**6)
    chance = random.Random(seed)
    files = [name for name in files_of(whole[0]) if not (whole[0] / name).is_dir()]
    for _ in range(12):
        name, how = chance.choice(files), chance.choice(DAMAGES)
        assert unrepaired(whole, tmp_path, monkeypatch, capsys, name, how, chance) == [], f"seed {seed}"


@pytest.mark.slow
@pytest.mark.parametrize("how", DAMAGES)
def test_every_damage_is_repaired(how, whole, tmp_path, monkeypatch, capsys):
    wrong = []
    for name in files_of(whole[0]):
        if how != "a folder" or not (whole[0] / name).is_dir():  # its content would be another's
            wrong += unrepaired(whole, tmp_path, monkeypatch, capsys, name, how, random.Random(0))
    assert wrong == []


@pytest.fixture
def run(whole, tmp_path) -> Path:
    """A copy of the finished run, beside a study without points."""
    (record,) = (whole[0] / "home/runs/mini/uci").glob("*/record.json")
    (tmp_path / "grid/points").mkdir(parents=True)
    return shutil.copytree(record.parent, tmp_path / "store" / record.parent.name)


def said_of(run: Path, tmp_path: Path) -> list[str]:
    return set_damaged_aside(tmp_path / "grid", [Point("key", "10_train.ipynb", {}, run=str(run))])


def test_what_this_user_may_not_read_is_said_and_left_alone(run, tmp_path, monkeypatch):
    """Also where the tests run as root, whom nothing is forbidden."""
    notebook = finished_file(tmp_path / "grid", "key")
    notebook.write_text("{")
    for forbidden in (run / "record.json", run / "vector.safetensors", notebook):
        opened = Path.open

        def closed(path, *arguments, forbidden=forbidden, opened=opened, **options):
            if path == forbidden:
                raise PermissionError(13, "Permission denied", str(path))
            return opened(path, *arguments, **options)

        with monkeypatch.context() as patched:
            patched.setattr(Path, "open", closed)
            (sentence,) = said_of(run, tmp_path)
        assert sentence == f"key is left as it is: {forbidden} is there, but this user may not read it: ask its owner"
        assert run.is_dir() and notebook.exists()
    assert not (tmp_path / "grid" / DAMAGED).exists()
    assert "cut off or altered" in said_of(run, tmp_path)[0]


def test_a_disk_that_fails_proves_nothing(run, tmp_path, monkeypatch):
    def fails(path, *arguments, **options):
        raise OSError(5, "Input/output error", str(path))

    monkeypatch.setattr(Path, "open", fails)
    (sentence,) = said_of(run, tmp_path)
    assert "record.json cannot be read: Input/output error" in sentence
    assert run.is_dir()


def test_a_run_of_an_older_version_is_not_damaged(run, tmp_path):
    record = json.loads((run / "record.json").read_text())
    for name in ("digest", "run", "vector"):
        del record[name]
    write_json(run / "record.json", record)
    (sentence,) = said_of(run, tmp_path)
    assert "record.json is of an older version and names no vector: move" in sentence
    assert run.is_dir()


@pytest.mark.parametrize("name", ["config.json", "record.json"])
def test_an_altered_value_is_seen(name, run, tmp_path):
    content = json.loads((run / name).read_text())
    write_json(run / name, content | {"seed": 7})
    (sentence,) = said_of(run, tmp_path)
    assert sentence.startswith(f"{run / name} is ") and "The run was moved to" in sentence
    assert not run.exists()


def test_a_run_in_training_is_left_alone(run, tmp_path):
    (run / "vector.safetensors").unlink()
    with only_process(run):
        assert said_of(run, tmp_path) == []
    assert "vector.safetensors is not there" in said_of(run, tmp_path)[0]


def test_a_record_with_other_kinds_of_values_is_no_row(run, tmp_path):
    write_json(tmp_path / "grid/plan.json", {"points": [{"run": str(run)}, {"key": "x"}, 3, {"run": 3}]})
    assert len(collect(tmp_path / "grid")) == 1
    record = json.loads((run / "record.json").read_text())
    write_json(run / "record.json", record | {"metrics": record["metrics"] | {"validation_accuracy": "high"}})
    assert collect(tmp_path / "grid").empty
