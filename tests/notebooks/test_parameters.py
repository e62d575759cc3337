"""Parameters of notebooks: whatever is not accepted is answered in a sentence before the first training."""

import ast
import json
import os
import subprocess
import sys
from dataclasses import MISSING, dataclass, field, fields, replace
from functools import cache
from pathlib import Path
from typing import get_args

import nbformat
import pytest
from conftest import random_like

import analysis.notebook_parameters
import analysis.paths
import analysis.published.study
from analysis.addition.study import AdditionStudy
from analysis.notebook_parameters import ParameterError, begin
from analysis.paths import in_project
from analysis.published.checkpoints import publish
from analysis.studies.notebooks import cells_of, study_of
from analysis.study import Accepted, configurations, parameters_of
from taujp_core.files import write_json
from taujp_core.mini.pretrain import PretrainConfig, pretrain
from taujp_core.suites import load_suite
from taujp_core.task_vectors import TaskVector
from taujp_core.training.config import run_config
from taujp_core.training.finetune import finetune

ROOT = Path(__file__).parents[2]
NOTEBOOKS = sorted((ROOT / "notebooks").glob("*.ipynb"))
NAN, INFINITY = float("nan"), float("inf")


def namespace(source: str, injected: str = "") -> dict:
    """Names as a kernel has them after the parameters cell and papermill's."""
    names = {"In": [], "get_ipython": print, "_i": "", "json": json}
    exec(source, names)
    exec(injected, names)
    return names


def notebook(name: str, **changes) -> dict:
    """The same of a committed notebook."""
    return namespace(code_cells(ROOT / "notebooks" / f"{name}.ipynb")[0]["source"]) | changes


@cache
def code_cells(path: Path) -> list[dict]:
    cells = json.loads(path.read_text())["cells"]
    return [cell | {"source": "".join(cell["source"])} for cell in cells if cell["cell_type"] == "code"]


def begun(name: str, names: dict):
    """What the notebook's first call hands back."""
    return begin(study_of(ROOT / "notebooks" / f"{name}.ipynb"), names)


@pytest.fixture
def home(tmp_path, monkeypatch, mini) -> Path:
    """Where notebooks would write, if they did; the model is loaded once for all tests."""
    folder = tmp_path / "home"
    monkeypatch.setenv("TAUJP_HOME", str(folder))
    for module in (analysis.notebook_parameters, analysis.published.study):
        monkeypatch.setattr(module, "load_clip", lambda *_, **__: mini)
    return folder


# By the name of the parameter, in every notebook that has it.
BY_NAME = {
    "suite": [("maxi", "unknown suite 'maxi': accepted are clip14-b16"), (3, "parameter suite must be str, not int 3")],
    "suites": [
        ([], "parameter suites: at least one is needed, not []"),
        (["mini", "mini"], "parameter suites: 'mini' stands there twice"),
        (["maxi"], "unknown suite 'maxi': accepted are"),
        ("mini", "parameter suites must be list[str], not str 'mini'"),
    ],
    "task": [("mnits", "unknown task 'mnits': accepted are mnist"), ("", "unknown task '': accepted are mnist")],
    "new_task": [("cars", "parameter new_task: unknown task 'cars': accepted are mnist")],
    "tasks": [
        (["uci", "fashion", "uci"], "parameter tasks: 'uci' stands there twice"),
        (["uci", "cars"], "parameter tasks: unknown task 'cars': accepted are mnist"),
        (["uci", "shapes"], "parameter tasks: unknown task 'shapes': accepted are mnist"),
        (["uci", 3], "parameter tasks must be list[str], not list ['uci', 3]"),
    ],
    "known": [
        (["uci", "uci"], "parameter known: 'uci' stands there twice"),
        (["cars"], "parameter known: unknown task 'cars': accepted are mnist"),
    ],
    "pair": [
        ([], "parameter pair: at least one is needed, not []"),
        (["uci"], "parameter pair: must be two different tasks, not uci"),
        (["uci", "uci"], "parameter pair: 'uci' stands there twice"),
        (["uci", "signs", "mnist"], "parameter pair: must be two different tasks, not uci, signs, mnist"),
        (["uci", "cars"], "parameter pair: unknown task 'cars': accepted are mnist"),
    ],
    "quadruples": [
        ([[]], "a quadruple is four different tasks"),
        ([["uci-inverted", "mnist-inverted", "uci"]], "a quadruple is four different tasks"),
        ([["uci-inverted", "mnist-inverted", "uci", "uci"]], "a quadruple is four different tasks"),
        ([["uci-inverted", "mnist-inverted", "uci", "mnist"]] * 2, "parameter quadruples: ['uci-inverted', 'mnist"),
        ([["uci", "cars", "mnist", "fashion"]], "unknown task 'cars': accepted are"),
        (["uci"], "parameter quadruples must be list[list[str]], not list ['uci']"),
    ],
    "others": [
        (["mnist"], "parameter others: mnist is a coloured task itself, and is not merged with its own vector"),
        (["uci", "cars"], "parameter others: unknown task 'cars': accepted are mnist"),
        ([], "parameter others: at least one is needed, not []"),
    ],
    "agreements": [
        ([0.9], "agreements must be at least two shares from 0 to 1, one an environment, not [0.9]"),
        ([0.9, 1.2], "agreements must be at least two shares from 0 to 1, one an environment, not [0.9, 1.2]"),
        ([0.9, -0.1], "parameter agreements: must be finite and not negative, not -0.1"),
        ([0.9, 0.9], "parameter agreements: 0.9 stands there twice"),
    ],
    "partner_recipe": [({"stepz": 3}, "parameter partner_recipe: unknown run parameter 'stepz'")],
    "objectives": [
        (["irm"], "unknown objective 'irm': accepted are erm, irmv1"),
        ([], "parameter objectives: at least one is needed, not []"),
    ],
    "data": [(["coloured uci"], "unknown data 'coloured uci': accepted are coloured mnist")],
    "train": [("yes", "parameter train must be bool, not str 'yes'")],
    "published checkpoints": [
        (["not-there"], "parameter checkpoints: one entry is a published family (fusion-bench-b32, "),
        (["not-there", "LICENSE", "README.md"], "not-there does not exist"),
        (["fusion-bench-b32"], "unknown task of fusion-bench-b32 'street': accepted are cars"),
        (["README.md", "LICENSE"], "parameter checkpoints: 2 are listed for 3 tasks"),
        ("README.md", "parameter checkpoints must be list[str], not str 'README.md'"),
    ],
    "root": [("not-there", "parameter root: "), (str(ROOT), "parameter root: is the folder of a published family")],
    "without_gone": [("yes", "parameter without_gone must be bool, not str 'yes'")],
    "control": [("shapes", "parameter control must be bool, not str 'shapes'")],
    "own_images": [
        ([], "parameter own_images: at least one is needed, not []"),
        ([0], "parameter own_images: must be from 1 to"),
        ([8, 8], "parameter own_images: 8 stands there twice"),
    ],
    "checkpoints": [("not-there", "not-there does not exist"), (str(ROOT / "README.md"), "README.md is not a folder")],
    "pictures": [("not-there", "not-there does not exist"), (3, "parameter images must be str, not int 3")],
    "judge_images": [(-1, "parameter judge_images: must be from 0 to")],
    "test_images": [(-1, "parameter test_images: must be from 0 to")],
    "merge_images": [(0, "parameter merge_images: must be from 1 to")],
    "tuning_images": [(-1, "parameter tuning_images: must be from 0 to")],
    "rounds": [(0, "parameter rounds: must be from 1 to")],
    "merges": [
        (["lora"], "unknown merging method 'lora': accepted are ours"),
        ([], "parameter merges: at least one is needed, not []"),
    ],
    "stressed": [
        (["tak"], "unknown method of parameter stressed 'tak': accepted are linear, standard"),
        (["linear", "linear"], "parameter stressed: 'linear' stands there twice"),
    ],
    "merged": [
        (["linear"], "unknown method of parameter merged 'linear': accepted are standard, taujp-strict"),
        (["standard", "standard"], "parameter merged: 'standard' stands there twice"),
    ],
    "long_task": [("cars", "unknown task of parameter long_task 'cars': accepted are street, signs, terrain")],
    "long_rate": [
        (0, "parameter long_rate: must be above 0, not 0.0"),
        (NAN, "parameter long_rate: must be finite and not negative, not nan"),
    ],
    "long_steps": [(0, "parameter long_steps: must be from 1 to")],
    "repair_steps": [(0, "parameter repair_steps: must be from 1 to")],
    "repair_images": [(-1, "parameter repair_images: must be from 0 to")],
    "repair_batch": [(0, "parameter repair_batch: must be from 1 to")],
    "in_curves": [(["lora"], "unknown merging method 'lora': accepted are ours")],
    "once": [(["TIES"], "parameter once: TIES is among the merges already")],
    "image_counts": [([-1], "parameter image_counts: must be from 0 to")],
    "task_counts": [
        ([1], "the number of tasks, not 1"),
        ([9], "the number of tasks, not 9"),
    ],
    "sweep_seeds": [(-1, "parameter sweep_seeds: must be from 0 to 4294967295, not -1")],
    "method": [("lora", "unknown method 'lora': accepted are"), ("", "unknown method '': accepted are")],
    "methods": [
        ([], "parameter methods: at least one is needed, not []"),
        (["linear", "linear"], "parameter methods: 'linear' stands there twice"),
        (["linear", "lora"], "unknown method 'lora': accepted are"),
        ("linear", "parameter methods must be list[str], not str 'linear'"),
    ],
    "edited": [
        ([], "parameter edited: at least one is needed, not []"),
        (["linear", "linear"], "parameter edited: 'linear' stands there twice"),
        (["lora"], "unknown method 'lora': accepted are"),
    ],
    "seed": [
        (-1, "parameter seed: must be from 0 to 4294967295, not -1"),
        (2**32, "parameter seed: must be from 0 to 4294967295, not 4294967296"),
        (0.0, "parameter seed must be int, not float 0.0"),
    ],
    "seeds": [
        ([], "parameter seeds: at least one is needed, not []"),
        ([0, 1, 0], "parameter seeds: 0 stands there twice"),
        ([0, -1], "parameter seeds: must be from 0 to 4294967295, not -1"),
        ([2**40], "parameter seeds: must be from 0 to 4294967295, not 1099511627776"),
        ([True], "parameter seeds must be list[int], not list [True]"),
    ],
    "steps": [
        (-1, "parameter steps: must be from"),  # 0, or 1 where 0 is not the recipe's number
        (10**12, "to 4294967295, not 1000000000000"),
        ("20", "parameter steps must be int, not str '20'"),
    ],
    "images": [(-1, "parameter images: must be from 0 to"), (2**40, "parameter images: must be from 0 to 4294967295")],
    "solve_images": [(0, "parameter solve_images: must be from 1 to")],
    "iterations": [(0, "parameter iterations: must be from 1 to")],
    "resamples": [
        (0, "parameter resamples: must be from 1 to 100000, not 0"),
        (10**9, "parameter resamples: must be from 1 to 100000, not 1000000000"),
    ],
    "orders": [
        (0, "parameter orders: must be from 1 to 1000, not 0"),
        (3, "2 tasks arrive in 1 to 2 orders, not in 3"),
        (10**9, "parameter orders: must be from 1 to 1000, not 1000000000"),
    ],
    "reservoir": [
        (-1, "parameter reservoir: must be from 0 to"),
    ],
    "points": [
        (1, "parameter points: must be from 5 to 401, not 1"),
        (10, "parameter points: 0 and 1 must be among them, as with 5, 9, 13, …, not 10"),
        (10**6 + 1, "parameter points: must be from 5 to 401, not 1000001"),
    ],
    "batch_size": [
        (-1, "parameter batch_size: must be from"),  # 0, or 1 where 0 is not the recipe's number
        (100_000_000, "GiB: a smaller batch_size is accepted"),
    ],
    "warmup_steps": [(-1, "parameter warmup_steps: must be from 0 to")],
    "peak_lr": [(-0.1, "parameter peak_lr: must be finite and not negative, not -0.1")],
    "penalty_weight": [
        (-1, "parameter penalty_weight: must be finite and not negative, not -1.0"),
        (NAN, "parameter penalty_weight: must be finite and not negative, not nan"),
        (INFINITY, "parameter penalty_weight: must be finite and not negative, not inf"),
        ("1e-3", "parameter penalty_weight must be float, not str '1e-3'"),
    ],
    "penalty_weights": [
        ([], "parameter penalty_weights: at least one is needed, not []"),
        ([0.2, 0.6], "parameter penalty_weights: 0, the untreated, and at least one other are needed, not [0.2, 0.6]"),
        ([0], "parameter penalty_weights: 0, the untreated, and at least one other are needed, not [0.0]"),
        ([0, 0.2, 0.2], "parameter penalty_weights: 0.2 stands there twice"),
        ([0, NAN], "parameter penalty_weights: must be finite and not negative, not nan"),
    ],
    "factors": [
        ([0.0], "parameter factors: must be above 0 and not 1, which is there anyway, not [0.0]"),
        ([0.1, 1], "parameter factors: must be above 0 and not 1, which is there anyway, not [0.1, 1.0]"),
        ([0.1, 0.1], "parameter factors: 0.1 stands there twice"),
        ([NAN], "parameter factors: must be finite and not negative, not nan"),
    ],
    "penalty_images": [
        (["uci"], "unknown pictures of parameter penalty_images 'uci': accepted are dead-leaves, shapes"),
        (["shapes", "shapes"], "parameter penalty_images: 'shapes' stands there twice"),
        ("shapes", "parameter penalty_images must be list[str], not str 'shapes'"),
    ],
    "budget_methods": [
        ([], "parameter budget_methods: at least one is needed, not []"),
        (["lora"], "unknown method 'lora': accepted are"),
    ],
    "unlabelled": [
        ([], "parameter unlabelled: at least one is needed, not []"),
        ([3], "parameter unlabelled: must be from 4 to 4294967295, not 3"),
        ([8, 8], "parameter unlabelled: 8 stands there twice"),
    ],
    "sizes": [
        ([2], "parameter sizes: must be from 3 to 4294967295, not 2"),
        ([5], "parameter sizes: must be from 3 to 4, the number of tasks, not 5"),
    ],
    "alphas": [
        ([], "parameter alphas: at least one is needed, not []"),
        ([0.0], "parameter alphas: must be above 0, and one is 0"),
        ([NAN], "parameter alphas: must be finite and not negative, not nan"),
    ],
    "choices": [(0, "parameter choices: must be from 1 to 4294967295, not 0")],
    "budget_steps": [
        ([0], "parameter budget_steps: must be from 1 to 4294967295, not 0"),
        ([4, 4], "parameter budget_steps: 4 stands there twice"),
    ],
    "onset_weight": [(-0.5, "parameter onset_weight: must be finite and not negative, not -0.5"), (0.0, "onset_weight: must be above 0")],
    "target_weight": [(NAN, "parameter target_weight: must be finite and not negative"), (0.0, "target_weight: must be above 0")],
    "raise_weight": [(-0.2, "parameter raise_weight: must be finite and not negative"), (0.0, "raise_weight: must be above 0")],
    "onset_starts": [
        ([], "parameter onset_starts: at least one is needed, not []"),
        ([2, 3], "one start must be 4, the number of steps"),
        ([4], "all starts but the last must be before step 4, and there must be one: not [4]"),
        ([2, 4, 6], "all starts but the last must be before step 4, and there must be one: not [2, 4, 6]"),
        ([2, 2, 4], "parameter onset_starts: 2 stands there twice"),
        ([-1, 4], "parameter onset_starts: must be from 0 to"),
    ],
    "onset_snapshots": [
        ([], "parameter onset_snapshots: at least one is needed, not []"),
        ([0, 4], "parameter onset_snapshots: must be from 1 to"),
        ([2, 5], "steps to save after must be from 1 to 4, the last of them after the start 2: not [2, 5]"),
        ([1, 2], "steps to save after must be from 1 to 4, the last of them after the start 2: not [1, 2]"),
    ],
    "recipe": [
        ({"stepz": 3}, "parameter recipe: unknown run parameter 'stepz': accepted are accumulation, aggregate, anneal_steps"),
        ({"seed": 3}, "parameter recipe: unknown run parameter 'seed': accepted are"),
        ({"start": "0123"}, "parameter recipe: unknown run parameter 'start': accepted are"),
        ({"options": {}}, "parameter recipe: unknown run parameter 'options': accepted are"),
        ({"tasks": ["uci"]}, "parameter recipe: unknown run parameter 'tasks': accepted are"),
        ({3: 4}, "parameter recipe: unknown run parameter 3: accepted are"),
        ({"steps": 0}, "steps must be at least 1, not 0"),
        ({"steps": "20"}, "steps must be an integer, not '20'"),
        ({"accumulation": 7}, "accumulation 7 does not divide the batch of"),
        ({"peak_lr": -1}, "peak_lr must be finite and not negative, not -1"),
        ({"peak_lr": NAN}, "peak_lr must be finite and not negative, not nan"),
        ({"precision": "fp8"}, "unknown precision 'fp8': accepted are float32"),
        ({"precision": "tf32"}, "precision tf32 needs an NVIDIA GPU, not cpu"),
        ({"batch_size": 100_000_000}, "GiB: a smaller batch_size is accepted"),
        ([], "parameter recipe must be dict, not list []"),
    ],
    "further": [
        ({"stepz": 3}, "parameter further: unknown run parameter 'stepz': accepted are"),
        ({"start": "0123"}, "parameter further: unknown run parameter 'start': accepted are"),
        ({"steps": 0}, "steps must be at least 1, not 0"),
        ({"batch_size": 100_000_000}, "GiB: a smaller batch_size is accepted"),
    ],
    "published": [("nowhere", "parameter published: "), (__file__, "is not a folder")],
    "base": [("model.pt", "parameter base: "), (__file__, "belongs to a folder of checkpoints, and ")],
    "continued": [("uci", "unknown published task to continue 'uci': accepted are mnist")],
    "study": [("nowhere", "parameter study: nowhere has no plan.json"), (__file__, "has no plan.json")],
    "folder": [],  # one that is not there holds nothing, and the report says how it is filled
    "store": [("", "parameter store: '' is no name of a folder"), (__file__, "cannot be a folder, for"), (3, "must be str")],
    "output": [("", "parameter output: '' is no name of a folder"), (f"{__file__}/deep/down", "cannot be a folder, for")],
}  # fmt: skip
# Several together, or one where a notebook wants something else than the others.
TOGETHER = [
    ("00_quickstart", {"tasks": []}, "parameter tasks: at least one task is needed, not []"),
    ("00_quickstart", {"steps": 0}, "steps must be at least 1, not 0"),
    ("05_pretrain_mini", {"batch_size": 0}, "parameter batch_size: must be from 1 to 4294967295, not 0"),
    ("05_pretrain_mini", {"steps": 0}, "parameter steps: must be from 1 to 4294967295, not 0"),
    ("10_train", {"penalty_wieght": 0.2}, "unknown parameter penalty_wieght: accepted are suite, task, method"),
    ("20_causal_probe", {"tasks": ["uci", "signs"]}, "parameter tasks: at least 3 tasks are needed, not ['uci', 'signs']"),
    ("20_causal_probe", {"known": ["uci"]}, "parameter known: at least two tasks are needed, for they are added, not uci"),
    ("20_causal_probe", {"edited": ["linear", "taujp-strict"]}, "taujp-strict cannot be edited, for its vectors have seen other tasks' images"),
    ("20_causal_probe", {"edited": ["tak"]}, "tak cannot be edited, for its vectors have seen other tasks' images in training"),
    ("20_causal_probe", {"edited": ["post-hoc-linearised"]}, "edited, for it applies the vectors of standard, and every vector is"),
    ("20_causal_probe", {"penalty_weights": [0.1, 0.2]}, "parameter penalty_weights: 0, the untreated, and at least one other"),
    ("20_causal_probe", {"penalty_weights": [0.0]}, "parameter penalty_weights: 0, the untreated, and at least one other"),
    ("30_addition", {"recipe": {"penalty_weight": -1}}, "penalty_weight must be finite and not negative, not -1"),
    ("32_analogy", {"suite": "mini", "quadruples": []}, "name the quadruples yourself"),
    ("53_forecast", {"tasks": ["uci", "signs"]}, "parameter tasks: at least 3 tasks are needed, not ['uci', 'signs']"),
    ("53_forecast", {"methods": ["linear"]}, "unknown method of parameter stressed 'standard': accepted are linear"),
    ("53_forecast", {"methods": ["tak", "linear"], "stressed": ["tak"]}, "of parameter stressed 'tak': accepted are linear"),
    ("40_continual", {"tasks": ["uci"]}, "a sequence takes at least two different tasks, not uci"),
    ("40_continual", {"recipe": {"penalty_reservoir": 3}}, "the parameter reservoir sets it"),
    ("40_continual", {"methods": ["taujp-memory"], "reservoir": 0}, "taujp-memory keeps at least 1 image of a past task, not"),
    ("40_continual", {"methods": ["post-hoc-linearised"]}, "unknown method 'post-hoc-linearised': accepted are standard"),
    ("55_stress", {"tasks": ["uci"]}, "parameter tasks: at least 2 tasks are needed, not ['uci']"),
    ("55_stress", {"tasks": ["uci", "signs"]}, "unknown task of parameter long_task 'street': accepted are uci, signs"),
    ("55_stress", {"methods": ["talos"]}, "unknown method 'talos': accepted are linear, standard, taujp-strict"),
    ("50_public_checkpoints", {"tasks": []}, "a merge takes at least two different published tasks, not none"),
    ("50_public_checkpoints", {"tasks": ["uci"]}, "a merge takes at least two different published tasks, not uci"),
    ("50_public_checkpoints", {"new_task": "mnist"}, "mnist is published already: the new task must be another"),
    ("30_addition", {"suite": "clip8-b32", "tasks": ["cars"], "recipe": {}}, "python -m taujp_core.datasets download"),
]  # fmt: skip
# Names that mean something else in a notebook, by the type that they have there: 51's images are a folder of pictures.
OTHER_KINDS = {("images", str(str)): "pictures", ("checkpoints", str(list[str])): "published checkpoints"}
EVERY = [
    (path.stem, {name: value}, sentence)
    for path in NOTEBOOKS
    for name, (kind, _) in parameters_of(study_of(path)).items()
    for value, sentence in BY_NAME[OTHER_KINDS.get((name, str(kind)), name)]
]


@pytest.mark.parametrize(("name", "changes", "sentence"), [*EVERY, *TOGETHER])
def test_what_is_not_accepted_is_answered_in_a_sentence(name, changes, sentence, home):
    with pytest.raises(ParameterError) as caught:
        begun(name, notebook(name, **changes))
    assert sentence in str(caught.value)
    assert "\n" not in str(caught.value)
    assert not home.exists()


def test_every_parameter_has_rows():
    names = {name for path in NOTEBOOKS for name in parameters_of(study_of(path))}
    assert names <= BY_NAME.keys()


@pytest.mark.parametrize(
    ("name", "changes"),
    [
        *((path.stem, {}) for path in NOTEBOOKS),
        ("00_quickstart", {"tasks": ["uci"], "penalty_weight": 0}),
        ("05_pretrain_mini", {"batch_size": 1, "warmup_steps": 0}),
        ("10_train", {"task": "shapes", "method": "standard", "seed": 2**32 - 1}),
        ("20_causal_probe", {"penalty_weights": [0, 1], "seeds": [5], "known": [], "edited": ["attention-only"]}),
        ("20_causal_probe", {"steps": 0, "onset_starts": [20, 80], "onset_snapshots": [80]}),
        ("30_addition", {"tasks": ["uci"], "methods": ["linear"], "seeds": [7]}),
        ("30_addition", {"tasks": [], "methods": ["post-hoc-linearised"], "recipe": {}}),
        ("31_negation", {"tasks": ["uci"], "methods": ["standard"], "recipe": {"steps": 3, "peak_lr": 0}}),
        ("32_analogy", {"quadruples": [], "methods": ["taujp-strict"]}),
        ("33_disentanglement", {"methods": ["linear"], "tasks": [], "points": 5, "steps": 0, "images": 2**32 - 1}),
        ("40_continual", {"tasks": [], "orders": 3, "methods": ["linear"], "reservoir": 0}),
        ("50_public_checkpoints", {"tasks": ["uci", "signs"], "continued": "signs", "iterations": 10**6}),
        ("35_training_rivals", {"tasks": [], "methods": ["orthoreg", "talos", "standard"], "factors": [], "recipe": {}}),
        ("35_training_rivals", {"budget_steps": [], "penalty_images": [], "seeds": [0, 1], "images": 0}),
        ("35_training_rivals", {"methods": ["post-hoc-linearised"], "budget_methods": ["taujp-strict"], "seeds": [3, 4]}),
        ("36_explore", {"tasks": [], "methods": ["linear"], "train": False, "images": 0}),
        ("51_merge", {"checkpoints": str(ROOT), "images": str(ROOT), "output": "merged.safetensors"}),
        ("52_arena", {"tasks": [], "merges": ["ours"], "once": [], "in_curves": ["TIES"], "task_counts": [2, 8]}),
        ("53_forecast", {"tasks": [], "methods": ["taujp-strict"], "stressed": ["taujp-strict"], "sizes": [], "unlabelled": [4], "recipe": {}}),
        ("54_benchmark", {"tasks": [], "merges": ["TIES"], "task_counts": [8], "control": True, "images": 0}),
        ("54_benchmark", {"checkpoints": [str(ROOT)], "tasks": ["uci", "mnist"], "task_counts": [2]}),
        ("54_benchmark", {"checkpoints": ["hub:someone/pets", str(ROOT / "README.md"), str(ROOT / "LICENSE")], "without_gone": True}),
        ("55_stress", {"tasks": [], "methods": ["linear"], "merged": [], "seeds": [0, 1], "repair_images": 0, "recipe": {}}),
        ("55_stress", {"tasks": ["uci", "mnist"], "long_task": "uci", "long_rate": 1, "merged": ["taujp-strict", "standard"]}),
        ("61_invariance", {"objectives": ["pair", "irm-game-fixed"], "data": ["rotated mnist"], "sweep_seeds": 1}),
        ("62_invariant_vectors", {"tasks": ["mnist", "uci"], "others": ["mnist", "uci"], "methods": ["pair"], "known": []}),
        ("90_report", {"folder": "not-there-yet"}),
    ],
)  # fmt: skip
def test_what_is_sensible_is_accepted(name, changes, home):
    begun(name, notebook(name, **changes))
    assert not home.exists()


def test_what_makes_the_full_versions_is_accepted(home):
    for path in sorted((ROOT / "results").glob("*/[0-9]*.ipynb")):
        cells = code_cells(path)
        injected = next(cell["source"] for cell in cells if "injected-parameters" in cell["metadata"].get("tags", []))
        names = notebook(path.stem)
        exec(injected, names)
        if names.get("study"):  # whose plan its driver has written before it asks
            write_json(home / names["study"] / "plan.json", {"points": []})
        begun(path.stem, names)


@dataclass(frozen=True)
class Own:
    """Somebody's own, with plain types."""

    a: float = 0.5
    b: list[float] = (0.5,)
    c: int | None = None
    d: str = "x"

    def plan(self) -> list:
        return [self.a, self.b, self.c]


def test_integers_serve_as_floats():
    names = {"a": 2, "b": [0, 0.5], "c": 3}
    assert begin(Own, names).plan == [2.0, [0.0, 0.5], 3]
    assert (names["a"], names["b"], names["c"]) == (2.0, [0.0, 0.5], 3)
    assert [type(value) for value in (names["a"], *names["b"])] == [float] * 3


@pytest.mark.parametrize(
    "given", [{"a": "1e-3"}, {"a": True}, {"b": "x"}, {"b": [0.5, "x"]}, {"c": 1.5}, {"a": None}, {"d": 1}]
)
def test_wrong_types_are_named(given):
    (name,) = given
    with pytest.raises(ParameterError, match=f"parameter {name} must be "):
        begin(Own, {"b": [0.5], **given})


def test_cells_can_be_run_again_by_hand(home):
    """Not the parameters' cell, after which later names, and the suite itself, are there; then with other parameters."""
    names = notebook("30_addition")
    first = begun("30_addition", names)
    names |= {"suite": first.suite, "table": [1, 2]}
    second = begun("30_addition", names)
    assert second.suite is first.suite and second.plan == first.plan
    names |= {"suite": "mini-domains", "tasks": ["uci"]}
    assert {config.suite.name for config in begun("30_addition", names).plan} == {"mini-domains"}


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_no_later_cell_makes_something_else_of_a_parameter(path):
    """It would be taken for the parameter when the first call is run again."""
    names = {one.name for one in fields(study_of(path))} - {"suite"}
    for cell in code_cells(path)[2:]:
        stored = (node for node in ast.walk(ast.parse(cell["source"])) if isinstance(node, ast.Name))
        inner = {
            n.id
            for c in ast.walk(ast.parse(cell["source"]))
            if isinstance(c, ast.comprehension)
            for n in ast.walk(c.target)
            if isinstance(n, ast.Name)
        }
        assert not ({node.id for node in stored if isinstance(node.ctx, ast.Store)} - inner) & names


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_the_first_cell_says_what_the_study_says(path):
    """Names, types, defaults and comments. Of a new notebook: the cell to paste."""
    assert code_cells(path)[0]["source"] == parameters_cell(study_of(path))


def parameters_cell(study: type) -> str:
    """The cell that papermill needs: a line per parameter."""
    lines = []
    for one, (kind, parameter) in zip(fields(study), parameters_of(study).values(), strict=True):
        value = one.default_factory() if one.default is MISSING else one.default
        shown = repr(value).replace("'", '"')
        lines.append(f"{one.name}: {kind if get_args(kind) else kind.__name__} = {shown}  # {parameter.says}")
    return "\n".join(lines)


def test_a_notebooks_study_is_known_without_running_it(tmp_path):
    """Of one's own notebook as well, wherever it is; of one with a study that only its kernel finds, it is not."""
    assert len({study_of(path) for path in NOTEBOOKS}) == len(NOTEBOOKS)
    for cells, study in (
        (
            [
                "raise SystemExit\n!ls",
                "from analysis.addition.study import AdditionStudy",
                "a = begin(AdditionStudy, {})",
            ],
            AdditionStudy,
        ),
        (["from own_study import CountStudy\nbegin(CountStudy, globals())"], None),
        (["begin(Nothing, globals())", "from analysis.addition.study import AdditionStudy"], None),
        (["def begin(:", "print(1)"], None),
    ):
        cells_of.cache_clear()
        book = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(cell) for cell in cells])
        nbformat.write(book, tmp_path / "own.ipynb")
        assert study_of(tmp_path / "own.ipynb") is study


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_what_is_trained_comes_from_the_plan(path):
    """No cell makes a configuration, or hands one on that it did not find in the plan or its groups."""
    source = "\n".join(cell["source"] for cell in code_cells(path))
    assert "_config" not in source and "Config(" not in source
    for call in (node for node in ast.walk(ast.parse(source)) if isinstance(node, ast.Call)):
        if (given := TRAINS.get(getattr(call.func, "id", ""))) is not None:
            assert ast.unparse(call.args[given]).split(".")[0].split("[")[0] in (
                "plan",
                "configs",
                "config",
                "ours",
                "fits",
            )


# Whatever trains, and the place of its configurations.
TRAINS = {
    "train": 1, "finetune": 0, "train_sequence": 2, "train_coloured": 1, "train_jointly": 0, "explore": 2, "pretrain": 0,
    "continue_with_penalty": 2, "benchmark": 0, "sweep": 1, "explanations": 0,
}  # fmt: skip


def test_the_untreated_of_the_causal_probe_are_without_the_penalty(home):
    """λ = 0 was asked for at the door as a penalised training, and trained as a linear one."""
    plan = begun("20_causal_probe", notebook("20_causal_probe", penalty_weights=[0.2, 0])).plan
    assert {weight: {c.method for c in configs} for weight, configs in plan.dose.items()} == {
        0.2: {"taujp-efficient"}, 0.0: {"linear"},
    }  # fmt: skip
    assert all(config.penalty_weight for config in configurations(plan) if config.method == "taujp-efficient")


def test_every_arm_of_the_causal_probe_has_every_seed(home):
    plan = begun("20_causal_probe", notebook("20_causal_probe", seeds=[3, 1])).plan
    for part in (
        *plan.dose.values(),
        plan.onset,
        plan.target,
        plan.raised,
        *plan.edited.values(),
        *plan.added.values(),
    ):
        assert {config.seed for config in part} == {1, 3}


def test_the_target_arm_sees_the_images_of_one_other_task_alone(home):
    plan = begun("20_causal_probe", notebook("20_causal_probe", tasks=["signs", "uci", "mnist"], known=[])).plan
    seen = {config.task: config.penalty_tasks for config in plan.target}
    assert seen == {"signs": ("uci",), "uci": ("mnist",), "mnist": ("signs",)}
    assert len({config.penalty_tasks for config in plan.raised}) == 3  # of all known tasks but the own one


def test_published_checkpoints_name_the_tasks(home, mini, tmp_path):
    """Those of a folder, whatever the parameter `tasks` says and whether the suite has such tasks."""
    vectors = [
        TaskVector(random_like(mini.theta0, k), mini.fingerprint, task, "standard")
        for k, task in enumerate(["uci", "mnist"])
    ]
    publish(mini, vectors, tmp_path / "published")
    given = {"suite": "mini-domains", "published": str(tmp_path / "published"), "new_task": "fashion"}
    plan = begun("50_public_checkpoints", notebook("50_public_checkpoints", **given)).plan
    assert (sorted(plan.names), plan.publish, sorted(plan.further)) == (["mnist", "uci"], [], ["mnist", "uci"])
    with pytest.raises(ParameterError, match="uci is published already: the new task must be another"):
        begun("50_public_checkpoints", notebook("50_public_checkpoints", **given | {"new_task": "uci"}))
    with pytest.raises(ParameterError, match="holds no checkpoint"):
        begun("50_public_checkpoints", notebook("50_public_checkpoints", published=str(ROOT / "docs"), new_task="uci"))


def test_some_of_a_studys_parameters_are_enough(home):
    """The others are the study's defaults: a notebook of one's own need not have them."""
    found = begin(AdditionStudy, {"tasks": ["uci"], "methods": ["linear"]})
    (config,) = found.plan
    assert (config.task, config.method, config.steps, found.suite.name) == ("uci", "linear", 40, "mini")
    assert found.folders.output == home / "runs" / "mini-addition"


def test_a_suite_without_a_file_serves_as_well(home, mini):
    suite = replace(load_suite("mini"), name="mine")
    found = begin(AdditionStudy, {"suite": suite})
    assert found.suite is suite and {config.suite.name for config in found.plan} == {"mine"}


@dataclass(frozen=True)
class Needs:
    images: int = field(metadata={"parameter": Accepted("how many", least=3)})
    names: list[str] = field(metadata={"parameter": Accepted("may be none", empty=True)})

    def plan(self) -> None:
        raise ValueError(f"{self.images} images are not {len(self.names)} names")


@pytest.mark.parametrize(
    ("study", "given", "sentence"),
    [
        (Needs, {"images": 5, "names": []}, "5 images are not 0 names"),
        (Needs, {"names": []}, "missing 1 required positional argument: 'images'"),
        (Needs, {"images": 2, "names": []}, "parameter images: must be from 3 to 4294967295, not 2"),
        (Needs, {"images": 5, "names": [], "n": 3}, "unknown parameter n: accepted are images, names"),
        (dict, {"images": 5}, "a study is a dataclass of parameters with a function plan, not <class 'dict'>"),
        (Accepted, {"says": "x"}, "a study is a dataclass of parameters with a function plan, not <class 'analysis"),
    ],
)  # fmt: skip
def test_somebodys_own_study_is_answered_in_a_sentence(study, given, sentence):
    with pytest.raises(ParameterError) as caught:
        begin(study, dict(given))
    assert sentence in str(caught.value)


OWN_STUDY = """
from dataclasses import dataclass

from analysis.study import IMAGES, STORE, SUITE, ask
from analysis.trainings import run_configs


@dataclass(frozen=True)
class CountStudy:
    suite: str = ask("mini", SUITE)
    weights: list[float] = ask([], "λ", empty=True)
    images: int = ask(100, IMAGES)
    store: str = ask("runs", STORE)

    def plan(self, suite):
        return {w: run_configs(suite, ["uci"], ["taujp-efficient"], penalty_weight=w, steps=1) for w in self.weights}
"""
OWN_CELLS = [
    "weights: list[float] = [0.5]  # λ",
    "from analysis.notebook_parameters import begin\nfrom own_study import CountStudy\n\nsuite, clip, plan, folders = begin(CountStudy, globals())",
    "print(suite.name, clip.name, {w: [c.penalty_weight for c in configs] for w, configs in plan.items()}, folders.store.name)",
]


def own_notebook(folder: Path, *parameters: str) -> subprocess.CompletedProcess:
    """A notebook and a study of somebody's own, in a folder that is not the project's."""
    (folder / "own_study.py").write_text(OWN_STUDY)
    book = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(cell) for cell in OWN_CELLS])
    book.cells[0].metadata["tags"] = ["parameters"]
    book.metadata["kernelspec"] = {"name": "python3", "display_name": "Python 3", "language": "python"}
    nbformat.write(book, folder / "own.ipynb")
    command = [sys.executable, "-m", "papermill", "--no-progress-bar", "own.ipynb", "out.ipynb", *parameters]
    return subprocess.run(
        command, cwd=folder, capture_output=True, text=True, env={**os.environ, "TAUJP_HOME": str(folder / "home")}
    )


def test_somebodys_own_notebook_and_study(tmp_path):
    assert own_notebook(tmp_path, "-y", "{weights: [0, 1.5]}").returncode == 0
    (said,) = nbformat.read(tmp_path / "out.ipynb", 4).cells[-1].outputs
    assert said.text == "mini mini {0.0: [0.0], 1.5: [1.5]} runs\n"
    refused = own_notebook(tmp_path, "-y", "{weights: [-1]}")
    assert refused.stderr.rstrip().splitlines()[-1] == (
        "ParameterError: parameter weights: must be finite and not negative, not -1.0"
    )


def test_a_folder_that_cannot_be_written(home, monkeypatch):
    home.mkdir()

    def refused(*arguments, **options):
        raise PermissionError(13, "Permission denied")

    # The superuser may write into every folder, so that a folder's permissions would not do.
    monkeypatch.setattr(analysis.paths.tempfile, "TemporaryFile", refused)
    with pytest.raises(ParameterError, match=f"parameter store: 'runs' cannot be made below {home}: Permission denied"):
        begun("30_addition", notebook("30_addition"))


def test_a_pre_training_with_other_parameters_is_not_gone_on_with(home):
    pretrain(PretrainConfig(1, 2, 0.001, 0, 1), in_project("runs/pretrain-smoke"))
    with pytest.raises(ParameterError, match="pretrain-smoke holds a pre-training with other parameters"):
        begun("05_pretrain_mini", notebook("05_pretrain_mini"))
    changes = {"steps": 1, "batch_size": 2, "warmup_steps": 1}
    begun("05_pretrain_mini", notebook("05_pretrain_mini", **changes))


def test_onset_runs_without_the_steps_that_are_asked_for(home, mini):
    changes = {"steps": 2, "onset_starts": [1, 2], "onset_snapshots": [2]}
    config = run_config(
        "mini",
        "signs",
        "taujp-efficient",
        0,
        ["mnist", "signs", "terrain"],
        steps=2,
        penalty_weight=0.6,
        penalty_start=1,
    )
    run = finetune(config, in_project("runs/onset"), mini, snapshot_steps=[2])
    begun("20_causal_probe", notebook("20_causal_probe", **changes))
    with pytest.raises(ParameterError, match="passed step 1 without leaving a snapshot") as caught:
        begun("20_causal_probe", notebook("20_causal_probe", **changes | {"onset_snapshots": [1, 2]}))
    assert str(run.folder) in str(caught.value)


def test_a_store_of_another_theta0_is_no_obstacle(tmp_path, mini):
    """Nothing is refused: a run's folder is named by θ₀ too, and what another model left there is left alone."""
    theta = {name: value * 1.01 for name, value in mini.theta0.items()}
    config = run_config("mini", "uci", "linear", steps=1, batch_size=4)
    first = finetune(config, tmp_path, mini)
    second = finetune(config, tmp_path, replace(mini, theta0=theta, fingerprint="0123456789abcdef"))
    assert first.folder != second.folder
    assert second.vector.theta0_fingerprint == "0123456789abcdef"
    assert finetune(config, tmp_path, mini).vector.digest() == first.vector.digest()


@pytest.mark.parametrize(
    ("name", "parameters", "sentence"),
    [
        ("30_addition", "{tasks: [mnist, mnist]}", "ParameterError: parameter tasks: 'mnist' stands there twice"),
        ("05_pretrain_mini", "{peak_lr: 1e-3}", "ParameterError: parameter peak_lr must be float, not str '1e-3'"),
    ],
)  # fmt: skip
def test_papermills_output_ends_with_the_sentence(name, parameters, sentence, tmp_path):
    command = [sys.executable, "-m", "papermill", "--no-progress-bar", ROOT / "notebooks" / f"{name}.ipynb"]
    done = subprocess.run(
        [*command, tmp_path / "out.ipynb", "-y", parameters], capture_output=True, text=True,
        env={**os.environ, "TAUJP_HOME": str(tmp_path / "home")},
    )  # fmt: skip
    assert done.returncode != 0
    assert done.stderr.rstrip().splitlines()[-1] == sentence
    assert not (tmp_path / "home").exists()
