"""Is a fault caught? Plants one after the other in a copy of the checkout, and runs the tests that should notice.

    python tests/plant_faults.py [NUMBER …]

Each fault is one piece of code that is replaced by another, a plausible slip, and the tests that must fail for it. The
script fails if some of them pass all the same. Some ten minutes on two cores; the checkout itself is not touched.
"""

import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

ROOT = Path(__file__).parents[1]
FAULTS = [
    ("taujp_core/training/state.py", "slot: value if slot == \"step\" else value.to(device)",
     "slot: value if slot == \"step\" else value.to(device) * 0", "core/test_resumption.py -k any_sequence"),
    ("taujp_core/training/state.py", "!= metadata[\"digest\"]:", "== \"\":", "core/test_resumption.py -k damaged"),
    ("taujp_core/files.py", "shutil.rmtree(path)", "pass", "core/test_runs.py core/test_files.py"),
    ("taujp_core/training/run_store.py", "lock.acquire(timeout=0)", "(folder / LOCK).touch()", "core/test_runs.py"),
    ("taujp_core/training/run_store.py", "if record.get(\"run\") != folder.name:", "if False:", "core/test_store.py -k another_runs"),
    ("taujp_core/training/run_store.py", "        if not held:", "        if False:", "core/test_store.py -k 'deleted or whoever'"),
    ("taujp_core/files.py", "if path.stat().st_mode != mode:", "if False:", "core/test_store.py core/test_files.py -k umask"),
    ("taujp_core/cache.py", "if metadata == {\"name\": name, \"digest\": fingerprint(tensors)} else None", "",
     "core/test_cache.py"),
    ("taujp_core/training/step_images.py", "[step % len(others)]", "[0]", "core/test_finetune.py -k turn"),
    ("taujp_core/methods/taujp_strict.py", "penalty_weight * penalty,", "penalty_weight * penalty**2,",
     "core/test_jacobian.py -k penalised"),
    ("taujp_core/methods/post_hoc_linearised.py", "\"linearised\", None", "\"encoder\", None", "core/test_methods.py"),
    ("taujp_core/task_vectors.py", "if vector.theta0_fingerprint != theta0_fingerprint:", "if False:",
     "core/test_task_vectors.py studies/test_addition.py"),
    ("taujp_core/datasets/load.py", "order[held:], order[:held]", "order, order[:held]",
     "datasets/test_datasets.py datasets/test_own_data.py"),
    ("taujp_core/datasets/split.py", "return self if self.fair else", "return self if True else", "datasets/test_what_is_read.py -k fair"),
    ("taujp_core/datasets/split.py", "torch.arange(len(self)) if self.fair else", "torch.arange(len(self)) if True else", "datasets/test_split.py -k fair"),
    ("taujp_core/datasets/sources/class_folders.py", "source.place(task, parts)", "source.locate(task)", "datasets/test_walks.py"),
    ("taujp_core/suites/suite.py", "check_own(task, places[task.name])", "check_own(task)", "datasets/test_walks.py -k suite_file"),
    ("analysis/merging/matching.py", "max(share, len(own) // most)", "share", "datasets/test_split.py -k merge"),
    ("taujp_core/datasets/pictures.py", "(255 / (2**bits - 1))", "(255 / (2**16 - 1))", "datasets/test_what_is_read.py -k more_bits"),
    ("taujp_core/datasets/sources/tables.py", "paths | picture_files(folder, self.image)", "paths",
     "datasets/test_what_is_read.py -k 'table and paths'"),
    ("taujp_core/datasets/classes.py", "if text or len(unknown) < len(names):", "if text:",
     "datasets/test_what_is_read.py -k by_number"),
    ("taujp_core/datasets/sources/tables.py", "return self.folder / picture", "return Path() / picture",
     "datasets/test_what_is_read.py -k tables_folder"),
    ("taujp_core/datasets/sources/hub.py", "    if digest.hexdigest() != said:", "    if False:", "datasets/test_hub.py"),
    ("taujp_core/models.py", "            if cut:", "            if False:", "core/test_models.py"),
    ("taujp_core/checks.py", "if images.dtype != torch.uint8:", "if False:", "studies/test_interference.py studies/test_coefficients.py core/test_models.py"),
    ("taujp_core/training/config.py", "if not method.penalised else set()", "if False else set()", "core/test_methods.py -k rate_of_zero"),
    ("taujp_core/task_vectors.py", "return vector.like(clip.theta0)", "return vector", "studies/test_devices.py core/test_task_vectors.py"),
    ("taujp_core/checkpoints/reading.py", "difference(tower.base, clip.theta0)", "None", "checkpoints/test_checkpoints.py"),
    ("analysis/coefficients.py", "rtol=0, atol=1e-12)].index.max())", "rtol=0, atol=1e-12)].index.min())",
     "studies/test_addition.py studies/test_analogy.py"),
    ("analysis/negation.py", "curve.control >= KEPT * before", "curve.control >= 0 * before", "studies/test_negation.py"),
    ("analysis/continual/sequences.py", "else order[: k + 1]", "else order[: k + 2]", "studies/test_continual.py -k 'leak or penalty or past'"),
    ("analysis/causal/arms.py", "(1.0, dose, 0.0, 0.0)", "(1.0, dose, 0.0, dose)", "studies/test_arms.py"),
    ("analysis/analogy/quadruples.py", "load_split(task, \"test\")", "load_split(task, \"validation\")", "studies/test_analogy.py"),
    ("analysis/resampling.py", "of_task[source] * of_task[target] * of_seed[seed]", "of_task[source] * of_seed[seed]",
     "studies/test_causality.py"),
    ("analysis/door/parameters.py", "if element in elements[:place]:", "if False:", "notebooks/test_parameters.py -k twice"),
    ("tests/nbval_numbers.py", "self.relative * abs(old))", "10 * self.relative * abs(old))", "notebooks/test_nbval_numbers.py"),
]  # fmt: skip


def fails(copy: Path, tests: str) -> bool:
    command = f"{sys.executable} -m pytest -q -x -p no:cacheprovider {tests}"
    environment = os.environ | {"PYTHONPATH": str(copy)}
    return subprocess.run(command, shell=True, cwd=copy / "tests", env=environment, capture_output=True).returncode != 0


def caught(copy: Path, file: str, old: str, new: str, tests: str) -> bool:
    """Whether some of the tests fail with the fault in its place, and none without it."""
    path = copy / file
    sound = path.read_text(encoding="utf-8")
    if sound.count(old) != 1:
        raise ValueError(f"{file} holds {old!r} {sound.count(old)} times: name a piece that stands there once")
    if fails(copy, tests):
        raise RuntimeError(f"the tests fail without a fault: {tests}")
    path.write_text(sound.replace(old, new), encoding="utf-8")
    try:
        return fails(copy, tests)
    finally:
        path.write_text(sound, encoding="utf-8")


if __name__ == "__main__":
    chosen = [int(number) for number in sys.argv[1:]] or range(1, len(FAULTS) + 1)
    missed = 0
    with tempfile.TemporaryDirectory() as folder:
        copy = Path(folder) / "checkout"
        shutil.copytree(ROOT, copy, ignore=shutil.ignore_patterns(".venv", ".git", "runs", "__pycache__"))
        for number in chosen:
            file, old, new, tests = FAULTS[number - 1]
            found = caught(copy, file, old, new, tests)
            missed += not found
            print(f"{number:2} {'caught' if found else 'MISSED'}  {file}: {old}  →  {new}", flush=True)
    sys.exit(f"{missed} faults were not caught" if missed else 0)
