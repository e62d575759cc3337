"""The run store, damaged in every way: what is read is this run's and whole, or a sentence names the file."""

import contextlib
import errno
import json
import os
import re
import shutil
import tempfile
from functools import cache
from pathlib import Path
from unittest.mock import patch

import pytest
from conftest import tiny_clip
from hypothesis import given, settings
from hypothesis import strategies as st

import taujp_core.training.descent as descent
import taujp_core.training.finetune as finetuning
import taujp_core.training.loop as loop
import taujp_core.training.run_store as runs
from taujp_core.files import Damaged, read_json
from taujp_core.pretrained import load_clip
from taujp_core.task_vectors import TaskVector
from taujp_core.training.config import run_config
from taujp_core.training.finetune import finetune
from taujp_core.training.joint import joint_folder, on_the_union, train_jointly
from taujp_core.training.run_store import FILES, Gone, only_process, run_folder, snapshot_file

CLIP = tiny_clip(load_clip("mini", device="cpu"))
STEPS, SNAPSHOT = 5, 2


def config(task="uci", seed=0):
    return run_config("mini", task, "standard", seed, tasks=["uci", "mnist"], steps=STEPS, batch_size=8)


def folder_of(store, task="uci", seed=0):
    return run_folder(store, config(task, seed), CLIP.fingerprint)


def trained(store, task="uci", seed=0, kill_at=None):
    """The run, with a snapshot; or one that saves its state after every step and is stopped at one."""
    steps, ordinary = [], descent.mean_gradient

    def mean_gradient(*arguments):
        steps.append(1)
        if len(steps) == kill_at:
            raise KeyboardInterrupt
        return ordinary(*arguments)

    with (
        patch.object(finetuning, "validation_accuracy", lambda clip, how, tau, head, validation: 0.5),
        patch.object(descent, "mean_gradient", mean_gradient),
        patch.object(loop, "is_due", lambda since, cost: kill_at is not None),
    ):
        return finetune(config(task, seed), store, CLIP, [SNAPSHOT])


def outcome(run):
    snapshot = TaskVector.load(snapshot_file(run.folder, SNAPSHOT), CLIP)
    return run.vector.digest(), snapshot.digest(), run.record["history"], run.record["curve"], run.record["config"]


@cache
def example(finished: bool) -> Path:
    """A store with a run and two others, finished or stopped on the way, all after they had gone on once."""
    store = Path(tempfile.mkdtemp())
    for task, seed in (("uci", 0), ("uci", 1), ("mnist", 0)):
        for kill_at in (3, 2):
            with pytest.raises(KeyboardInterrupt):
                trained(store, task, seed, kill_at)
        if finished:
            trained(store, task, seed)
    return store


@cache
def undisturbed():
    with tempfile.TemporaryDirectory() as store:
        run = trained(store)
        return outcome(run), files_in(run.folder)


def files_in(folder):
    return sorted(path.name for path in folder.iterdir() if path.name != ".lock")


@pytest.fixture(scope="module", autouse=True)
def stores():
    yield
    for finished in (True, False):
        shutil.rmtree(example(finished))


OF_A_FINISHED = ("config.json", "record.json", "vector.safetensors", "step-2.safetensors", ".lock")
OF_A_STOPPED = ("config.json", "state.safetensors", "resumed.json", "step-2.safetensors", ".lock")
WRITTEN = {"empty": b"", "garbage": b"\x93\x00\xff{", "{}": b"{}", "[]": b"[]", "null": b"null"}
WRONG = {"run": ["a"], "steps": "three", "step": {}, "seed": "0", "config": 5, "vector": None, "digest": 7}


def damage(path: Path, how: str, at: float, other: Path) -> None:
    data = path.read_bytes()
    if how in WRITTEN:
        path.write_bytes(WRITTEN[how])
    elif how == "cut":
        path.write_bytes(data[: int(at * len(data))])
    elif how == "flipped":
        place = min(int(at * len(data)), len(data) - 1)
        path.write_bytes(data[:place] + bytes([data[place] ^ 1]) + data[place + 1 :] if data else b"1")
    elif how == "wrong types":
        path.write_text(json.dumps({**read_json(path), **WRONG}) if path.suffix == ".json" else json.dumps(WRONG))
    elif how == "missing":
        path.unlink()
    elif how == "folder":
        path.unlink()
        path.mkdir()
        (path / "mine").touch()
    elif how == "another's":
        shutil.copyfile(other, path)


def follow(sentence: str, path: Path, folder: Path) -> None:
    """Do what the sentence says."""
    what = re.search(r"move (\S+) away", sentence)
    if "delete it" in sentence or (what and what[1] == "it"):
        shutil.rmtree(path) if path.is_dir() else path.unlink()
    else:
        shutil.rmtree(what[1] if what else folder)


@settings(max_examples=30, deadline=None)
@given(
    finished=st.booleans(),
    number=st.integers(0, 4),
    how=st.sampled_from([*WRITTEN, "cut", "flipped", "wrong types", "missing", "folder", "another's"]),
    at=st.floats(0, 1),
    whose=st.sampled_from([("uci", 1), ("mnist", 0)]),
)
def test_every_damage_is_repaired_or_named_and_the_run_comes_out_the_same(finished, number, how, at, whose):
    name = (OF_A_FINISHED if finished else OF_A_STOPPED)[number]
    with tempfile.TemporaryDirectory() as place:
        store = shutil.copytree(example(finished), Path(place) / "store")
        folder = folder_of(store)
        damage(folder / name, how, at, folder_of(store, *whose) / name)
        try:
            found = outcome(trained(store))
        except ValueError as error:
            sentence = str(error)
            assert name in sentence and str(folder) in sentence and "\n" not in sentence
            assert len(sentence) - sentence.count(str(store)) * len(str(store)) < 400
            follow(sentence, folder / name, folder)
            found = outcome(trained(store))
        assert (found, files_in(folder)) == undisturbed()


@pytest.mark.parametrize("whose", [("uci", 1), ("mnist", 0)])
@pytest.mark.parametrize(
    ("finished", "names"),
    [
        (True, ["record.json"]),
        (True, ["vector.safetensors"]),
        (True, ["record.json", "vector.safetensors"]),
        (True, ["step-2.safetensors"]),
        (False, ["state.safetensors"]),
        (False, ["step-2.safetensors"]),
    ],
)
def test_another_runs_files_are_refused(finished, names, whose, tmp_path):
    store = shutil.copytree(example(finished), tmp_path / "store")
    folder = folder_of(store)
    for name in names:
        shutil.copyfile(folder_of(store, *whose) / name, folder / name)
    with pytest.raises(Damaged, match=re.escape(str(folder / names[0]))):
        trained(store)


def test_another_steps_snapshot_is_refused(tmp_path):
    store = shutil.copytree(example(True), tmp_path / "store")
    file = snapshot_file(folder_of(store), SNAPSHOT)
    file.rename(file.with_name("step-3.safetensors"))
    with pytest.raises(Damaged, match=r"step-3\.safetensors is not of this run after 3 steps"):
        finetune(config(), store, CLIP, [3])


@pytest.mark.parametrize("name", ["record.json", "vector.safetensors", "state.safetensors"])
def test_a_joint_training_is_as_careful(name, tmp_path, monkeypatch):
    def both(seed):
        return [run_config("mini", task, "standard", seed, steps=2, batch_size=8) for task in ("uci", "signs")]

    def folder(seed):
        return joint_folder([on_the_union(one, 2) for one in both(seed)], tmp_path, CLIP.fingerprint)

    expected = train_jointly(both(0), tmp_path, CLIP).digest()
    if name == "state.safetensors":
        shutil.rmtree(folder(0))
        monkeypatch.setattr(loop, "is_due", lambda since, cost: True)
    ordinary, steps = descent.descend, []

    def stopped(*arguments):
        steps.append(1)
        if name == "state.safetensors" and len(steps) in (3, 6):
            raise KeyboardInterrupt
        ordinary(*arguments)

    monkeypatch.setattr(descent, "descend", stopped)
    for seed in (0, 1):
        with contextlib.suppress(KeyboardInterrupt):
            train_jointly(both(seed), tmp_path, CLIP)
    shutil.copyfile(folder(1) / name, folder(0) / name)
    with pytest.raises(Damaged, match=re.escape(str(folder(0) / name))):
        train_jointly(both(0), tmp_path, CLIP)
    shutil.rmtree(folder(0))
    assert train_jointly(both(0), tmp_path, CLIP).digest() == expected


@pytest.mark.parametrize("what", ["folder", "store"])
@pytest.mark.parametrize("moment", [1, 3, STEPS])
def test_a_run_that_is_deleted_while_it_trains_is_trained_again(what, moment, tmp_path, monkeypatch):
    ordinary, steps, store, expected = descent.descend, [], tmp_path / "store", undisturbed()

    def deleting(*arguments):
        steps.append(1)
        if len(steps) == moment:
            shutil.rmtree(store if what == "store" else folder_of(store))
        ordinary(*arguments)

    monkeypatch.setattr(descent, "descend", deleting)
    run = trained(store)
    assert (outcome(run), files_in(run.folder)) == expected
    assert len(steps) == moment + STEPS
    assert outcome(trained(store)) == expected[0]


@pytest.mark.parametrize("name", ["vector.safetensors", "record.json", "step-2.safetensors"])
def test_a_folder_that_is_deleted_before_or_within_a_write(name, tmp_path):
    """What is written then makes the folder anew, without its config.json."""
    for within in (False, True):
        store, left = tmp_path / str(within), [1]
        ordinary = runs.TaskVector.save, runs.write_sealed

        def deleting(path, store=store, left=left):
            if path.name == name and left:
                left.pop()
                shutil.rmtree(folder_of(store))

        def save(vector, path, ordinary=ordinary, deleting=deleting, within=within, **about):
            deleting(path)
            ordinary[0](vector, path, **about)

        def sealed(path, value, ordinary=ordinary, deleting=deleting, within=within):
            deleting(path)
            ordinary[1](path, value)

        fsync = os.fsync

        def synced(number, deleting=deleting, fsync=fsync):
            deleting(Path(f"/proc/self/fd/{number}").readlink())
            fsync(number)

        with contextlib.ExitStack() as patches:
            if within and Path("/proc/self/fd").exists():
                patches.enter_context(patch.object(os, "fsync", synced))
            else:
                patches.enter_context(patch.object(runs.TaskVector, "save", save))
                patches.enter_context(patch.object(runs, "write_sealed", sealed))
            run = trained(store)
        assert not left
        assert (outcome(run), files_in(run.folder)) == undisturbed()


def test_whoever_lost_the_folder_knows_it(tmp_path):
    """A second process makes a lock of its own: only that one counts."""
    folder = tmp_path / "run"
    for lose in (shutil.rmtree, lambda path: path.rename(tmp_path / "elsewhere")):
        with only_process(folder) as first:
            first()
            lose(folder)
            with pytest.raises(Gone, match="run was deleted or moved away"):
                first()
            with only_process(folder) as second:
                second()
                with pytest.raises(Gone):
                    first()


def test_a_config_that_is_gone_from_a_run_is_written_again_and_strangers_are_left_alone(tmp_path):
    store = shutil.copytree(example(True), tmp_path / "store")
    file = folder_of(store) / "config.json"
    before = file.read_bytes()
    for content in (None, b"", b"{}"):
        file.unlink() if content is None else file.write_bytes(content)
        trained(store)
        assert file.read_bytes() == before
    file.unlink()
    (file.parent / "notes.txt").touch()
    with pytest.raises(ValueError, match=r"holds files but no config\.json, notes\.txt among them"):
        trained(store)


def test_a_finished_run_is_swept_unless_somebody_is_at_it(tmp_path):
    store = shutil.copytree(example(True), tmp_path / "store")
    folder = folder_of(store)
    files = files_in(folder)
    left = [folder / name for name in (".record.json.01234567.part", ".step-2.safetensors.89abcdef.part")]
    for path in left:
        path.mkdir()
    for name in ("state.safetensors", "resumed.json"):
        (folder / name).write_text("of a process that was killed after the record")
    with only_process(folder):
        (folder / left[0].name).mkdir()
        trained(store)
        assert (folder / left[0].name).exists() and (folder / "state.safetensors").exists()
    trained(store)
    assert files_in(folder) == files


@pytest.mark.parametrize("umask", [0o002, 0o022, 0o077])
def test_modes_follow_the_umask(umask, tmp_path):
    before = os.umask(umask)
    try:
        with pytest.raises(KeyboardInterrupt):
            trained(tmp_path / "store", kill_at=3)
        trained(tmp_path / "store")
    finally:
        os.umask(before)
    modes = {path.name: path.stat().st_mode & 0o777 for path in (tmp_path / "store").rglob("*") if path.is_file()}
    assert set(modes) == {*OF_A_FINISHED}
    assert set(modes.values()) == {0o666 & ~umask}
    assert {path.stat().st_mode & 0o777 for path in tmp_path.rglob("*") if path.is_dir()} == {0o777 & ~umask}


def as_somebody_else(work) -> str:
    """What it raised, or "" — by a user who is not root and owns nothing here; root may do everything."""
    reading, writing = os.pipe()
    if not (child := os.fork()):
        try:
            if os.geteuid() == 0:
                os.setgroups([])
                os.setgid(65534)
                os.setuid(65534)
            work()
            said = ""
        except BaseException as error:
            said = f"{type(error).__name__}: {error}"
        os.write(writing, said.encode())
        os._exit(0)
    os.close(writing)
    os.waitpid(child, 0)
    with os.fdopen(reading) as file:
        return file.read()


@pytest.fixture
def shared():
    """A store that others reach, unlike pytest's folders."""
    place = Path(tempfile.mkdtemp())
    store = shutil.copytree(example(True), place / "store")
    for path in (place, store):
        path.chmod(0o755)
    yield store
    for path in place.rglob("*"):
        path.chmod(0o700)
    shutil.rmtree(place)


needs_others = pytest.mark.skipif(not hasattr(os, "fork"), reason="users are told apart on Unix")


@needs_others
@pytest.mark.parametrize("name", ["config.json", "record.json", "vector.safetensors", "step-2.safetensors"])
def test_what_may_not_be_read_is_said_and_left_alone(name, shared):
    folder = folder_of(shared)
    (folder / name).chmod(0o000)
    said = as_somebody_else(lambda: trained(shared))
    assert said == f"PermissionError: {folder / name} is there, but this user may not read it: ask its owner"
    (folder / name).chmod(0o644)
    assert as_somebody_else(lambda: trained(shared)) == ""  # a finished run is read from a store that is not theirs


@needs_others
def test_a_folder_that_may_not_be_entered_is_said(shared):
    folder_of(shared).chmod(0o000)
    assert re.fullmatch(
        r"PermissionError: \S+ is there, but this user may not read it: ask its owner",
        as_somebody_else(lambda: trained(shared)),
    )


@needs_others
def test_a_store_that_may_not_be_written_is_said_with_what_to_change(shared):
    for path in (shared, shared / "mini", shared / "mini" / "uci"):
        path.chmod(0o555)
    said = as_somebody_else(lambda: trained(shared, seed=2))
    assert re.fullmatch(
        r"PermissionError: \S+/\.lock cannot be written: this user may not write there; choose another folder by the "
        "argument `store` or `output`, or by TAUJP_HOME",
        said,
    )


@needs_others
def test_a_lock_is_for_all_who_may_write_into_the_folder(shared):
    """Whatever the umask of whoever made it."""
    folder = shared / "new"
    folder.mkdir()
    folder.chmod(0o777)
    before = os.umask(0o077)
    try:
        with only_process(folder):
            pass
    finally:
        os.umask(before)

    def lock():
        with only_process(folder) as check_held:
            check_held()

    assert as_somebody_else(lock) == ""


@pytest.mark.parametrize(("number", "reason"), [(errno.ENOSPC, "the disk is full"), (errno.EROFS, "read-only")])
def test_a_disk_that_takes_nothing_is_said_with_what_to_change(number, reason, tmp_path):
    def full(descriptor):
        raise OSError(number, os.strerror(number))

    with patch.object(os, "fsync", full), pytest.raises(OSError) as caught:
        trained(tmp_path)
    sentence = str(caught.value)
    assert sentence.startswith(f"{folder_of(tmp_path) / 'config.json'} cannot be written: ") and reason in sentence
    assert "argument `store` or `output`, or by TAUJP_HOME" in sentence and "Errno" not in sentence
    assert caught.value.errno == number


def test_the_names_of_a_runs_files_are_all_here():
    assert {*FILES, ".lock"} == {*OF_A_FINISHED, *OF_A_STOPPED} - {"step-2.safetensors"}
