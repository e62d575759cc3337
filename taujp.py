"""Edit CLIP by task arithmetic: train task vectors, see which will interfere, merge them, and measure the result.

Where to start:

    import taujp

    clip = taujp.load_clip("mini")                                 # or "openai/clip-vit-base-patch32", or a folder
    vectors = taujp.load_checkpoints("published/", clip)           # fine-tuned models of cars and dtd, as task vectors
    classes = {"cars": ["sedan", "truck"], "dtd": ["dotted", "lined"]}
    taujp.tau_jp(clip, vectors, {"cars": "pictures/cars"})         # who will interfere with whom; no labels
    taujp.forecast(clip, vectors, "pictures/", classes)            # what their sum will cost each task; no labels
    merged = taujp.merge(clip, vectors, "pictures/")               # one model of several; no labels, nothing to tune
    taujp.evaluate(clip, merged, "pets/test")                      # accuracy, NLL and calibration on class folders
    merged.save("merged/")                                         # for transformers, or "merged.safetensors" for open_clip

    taujp.plot_coefficients(clip, vectors, {"cars": "data/cars/test"})  # accuracy over the coefficient
    taujp.train(clip, "data/cars/", others="pictures/", steps=500) # a vector that leaves other tasks alone
    0.4 * vectors[0] + vectors[1]                                  # vectors add, subtract and scale

`taujp examples DIR`, in a terminal, makes two checkpoints and pictures to try this with. `help(taujp.merge)` and the like
say what each takes, returns and raises. Names are loaded when they are first used.
"""

import importlib
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:  # what editors and type checkers read; the table below says the same to Python
    from analysis.coefficients import tuned_coefficient
    from analysis.evaluate import coefficient_curves, evaluate, plot_coefficients
    from analysis.forecast.call import forecast
    from analysis.interference import reduce_tau_jp
    from analysis.merging.expectation import disagreement
    from analysis.merging.merge_call import merge
    from analysis.merging.merged import Merged
    from analysis.metrics import ace, ece, fit_temperature
    from analysis.products import measure_products
    from analysis.tau_jp import tau_jp
    from taujp_core.checkpoints import (
        families,
        load_checkpoint,
        load_checkpoints,
        load_family,
        merge_record,
        save_hugging_face,
        save_open_clip,
    )
    from taujp_core.datasets import load_images, load_split
    from taujp_core.methods import METHODS
    from taujp_core.models import Clip, zero_shot_head
    from taujp_core.pretrained import load_clip
    from taujp_core.products.jacobian import gauss_newton_product, jacobian_products, transpose_product
    from taujp_core.suites import Suite, load_suite, own_suite, own_task
    from taujp_core.task_vectors import TaskVector, edited
    from taujp_core.tasks import Task
    from taujp_core.training.config import run_config
    from taujp_core.training.finetune import finetune
    from taujp_core.training.one_task import train
    from taujp_core.training.run_store import Run

WHERE = {
    "analysis.coefficients": ("tuned_coefficient",),
    "analysis.evaluate": ("coefficient_curves", "evaluate", "plot_coefficients"),
    "analysis.forecast.call": ("forecast",),
    "analysis.interference": ("reduce_tau_jp",),
    "analysis.merging.merge_call": ("merge",),
    "analysis.merging.expectation": ("disagreement",),
    "analysis.merging.merged": ("Merged",),
    "analysis.metrics": ("ace", "ece", "fit_temperature"),
    "analysis.products": ("measure_products",),
    "analysis.tau_jp": ("tau_jp",),
    "taujp_core.checkpoints": (
        "families",
        "load_checkpoint",
        "load_checkpoints",
        "load_family",
        "merge_record",
        "save_hugging_face",
        "save_open_clip",
    ),
    "taujp_core.datasets": ("load_images", "load_split"),
    "taujp_core.methods": ("METHODS",),
    "taujp_core.models": ("Clip", "zero_shot_head"),
    "taujp_core.pretrained": ("load_clip",),
    "taujp_core.products.jacobian": ("gauss_newton_product", "jacobian_products", "transpose_product"),
    "taujp_core.suites": ("Suite", "load_suite", "own_suite", "own_task"),
    "taujp_core.task_vectors": ("TaskVector", "edited"),
    "taujp_core.tasks": ("Task",),
    "taujp_core.training.config": ("run_config",),
    "taujp_core.training.finetune": ("finetune",),
    "taujp_core.training.one_task": ("train",),
    "taujp_core.training.run_store": ("Run",),
}
MODULES = {name: module for module, names in WHERE.items() for name in names}

__all__ = sorted(MODULES)
__version__ = version("taujp")


def __getattr__(name: str) -> object:
    if name not in MODULES:
        raise AttributeError(f"taujp has no {name!r}: it has {', '.join(__all__)}")
    check_not_shadowed()
    globals()[name] = getattr(importlib.import_module(MODULES[name]), name)
    return globals()[name]


def __dir__() -> list[str]:
    return [*__all__, "__all__", "__doc__", "__file__", "__name__", "__version__"]


def check_not_shadowed() -> None:
    """Raises ImportError where Python finds another package or file of the name `analysis` first."""
    found = importlib.import_module("analysis").__file__
    ours = Path(__file__).parent / "analysis" / "__init__.py"
    if found is None or Path(found).resolve() != ours.resolve():
        raise ImportError(
            f"{found or 'a folder `analysis`'} has the name of a package of taujp, {ours.parent}, and Python finds it first: "
            "rename it, or start Python in another folder"
        )
