"""What does each version compute? Small results of every producer, by which a change without a new version is found.

    python tests/tools/golden.py        write tests/tools/golden.json: what is new, or has a new version

An entry of the file holds the versions of all that makes the result, by the place where each is raised, and the result:
a digest where bytes are the same on any machine, else numbers. These are computed in float64, where processors differ by
less than 1e-11 of a number's size; they may move by TOLERANCE, and planted faults move them by 1e-5 at the least. What
differs under the same versions is refused: raise the VERSION of what you changed, so that nothing finds results of the
old behaviour, and call the command again.
"""

import argparse
import hashlib
import io
import json
import math
import os
import sys
import tempfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import cache, partial
from pathlib import Path
from unittest.mock import patch

import datasets
import numpy as np
import torch
from open_clip.transformer import VisionTransformer
from PIL import Image
from torch import Tensor

from analysis.merging import arena, distac, merge
from analysis.merging.rivals import RIVALS, Evidence, adamerging
from taujp_core import models, optimisation
from taujp_core.applications import Application
from taujp_core.applications.encoder import ENCODER
from taujp_core.applications.linearised import LINEARISED
from taujp_core.datasets import load, load_split, pictures, reservoir
from taujp_core.datasets.sources import dead_leaves, hub, rendered
from taujp_core.datasets.sources.class_folders import ClassFolders
from taujp_core.datasets.sources.dead_leaves import DeadLeaves
from taujp_core.datasets.sources.hub import Hub
from taujp_core.datasets.sources.in_memory import InMemory
from taujp_core.datasets.sources.published import Published
from taujp_core.datasets.sources.rendered import Package
from taujp_core.datasets.sources.tables import Table
from taujp_core.datasets.split import Split, fair_order
from taujp_core.files import write_json
from taujp_core.identity import fingerprint
from taujp_core.methods import METHODS, Parameter
from taujp_core.mini.canvas import Random
from taujp_core.models import Clip, ImageEncoder, zero_shot_head
from taujp_core.optimisation import batch_indices
from taujp_core.pretrained import load_clip
from taujp_core.suites import Suite, load_suite, own_suite, own_task
from taujp_core.task_vectors import TaskVector
from taujp_core.tasks import Task
from taujp_core.training import joint
from taujp_core.training.config import RunConfig, run_config
from taujp_core.training.finetune import finetune

FILE = Path(__file__).with_suffix(".json")
TOLERANCE = 1e-7  # of the largest of a result's numbers
CLASSES = ["zero", "one", "two"]
TASKS = ["first", "second", "third"]
Result = str | list[float]


@dataclass(frozen=True)
class Entry:
    """versions: by the place where each is raised."""

    versions: dict[str, int]
    compute: Callable[[], Result]


# Small things to compute with: everything is drawn from NumPy's frozen stream.


def drawn(seed: int, *shape: int) -> np.ndarray:
    return np.random.RandomState(seed).standard_normal(shape)


def some_images(count: int, seed: int, side: int = 32) -> Tensor:
    """Of large squares, for noise is all alike to an encoder."""
    squares = np.random.RandomState(seed).randint(0, 256, (count, 3, 4, 4)).astype(np.uint8)
    return torch.from_numpy(squares.repeat(side // 4, 2).repeat(side // 4, 3))


def alike(count: int, seed: int) -> Tensor:
    """Variations of one image: what is right for some of them is nearly right for the others."""
    return (0.8 * some_images(1, seed).double() + 0.2 * some_images(count, seed + 50).double()).to(torch.uint8)


@cache
def tower() -> Clip:
    """A vision transformer of two blocks in float64, with the text tower of the small CLIP."""
    mini = load_clip("mini", device="cpu")
    datasets.disable_progress_bars()
    visual = VisionTransformer(32, 8, 16, 2, 2, 2.0, output_dim=mini.theta0["visual.proj"].shape[1])
    encoder = ImageEncoder(visual, (0.5,) * 3, (0.25,) * 3).double().eval().requires_grad_(False)
    for seed, (name, value) in enumerate(encoder.named_parameters()):
        weights = torch.from_numpy(drawn(seed, *value.shape)) * (0.1 if value.ndim < 2 else value[0].numel() ** -0.5)
        value.copy_(weights + ("ln_" in name and name.endswith("weight")))
    theta0 = dict(encoder.named_parameters())
    text = mini.model.double()
    return Clip("golden", text, mini.tokenizer, encoder, theta0, fingerprint(theta0), 32, mini.logit_scale)


@cache
def suite() -> Suite:
    """Three tasks of forty images and a control, all of the same classes."""
    tasks = [
        own_task(name, CLASSES, train=(some_images(40, seed), torch.arange(40) % 3))
        for seed, name in enumerate([*TASKS, "control"])
    ]
    return own_suite("mini", tasks[:-1], tasks[-1], name="golden")


def vectors(method: str, clip: Clip | None = None, tasks: Sequence[str] = TASKS) -> list[TaskVector]:
    clip, found = clip or tower(), []
    for place, task in enumerate(tasks):
        tau = {name: drawn(100 * place + k, *value.shape) for k, (name, value) in enumerate(clip.theta0.items())}
        tau = {name: torch.from_numpy(0.03 * value) for name, value in tau.items()}
        found.append(TaskVector(tau, clip.fingerprint, task, method))
    return found


def numbers_of(tau: dict[str, Tensor]) -> list[float]:
    """‖τ‖ and six sums of its entries with random signs, which are as large as ‖τ‖."""
    flat = torch.cat([tau[name].flatten() for name in sorted(tau)]).double()
    signs = torch.from_numpy(np.random.RandomState(0).choice([-1.0, 1.0], (6, len(flat))))
    return [flat.norm().item(), *(signs @ flat).tolist()]


def bytes_of(*tensors: Tensor) -> str:
    return hashlib.sha256(b"".join(tensor.numpy().tobytes() for tensor in tensors)).hexdigest()[:16]


# Bytes that are the same on any machine


def four_pictures(data: str) -> str:
    labels, severity = torch.arange(4), torch.full((4,), 0.5, dtype=torch.float64)
    return bytes_of(rendered.RENDERERS[data](Random(4, 7), labels, severity))


def package_pictures() -> str:
    """How scans are read, and which pictures a renderer is asked for."""
    scans = [rendered.load_scans(name, part)[0][:2] for name in rendered.SCANS.values() for part in ("train", "test")]
    asked = []
    for data in rendered.RENDERERS:
        task = Task(data, tuple(CLASSES), ("{}",), 32, Package(data, 0.3))
        with patch.dict(rendered.RENDERERS, {data: noted(asked)}):
            asked.append(rendered.render_task(task, "test")[1])
    return bytes_of(*scans, *asked)


def noted(asked: list) -> Callable:
    """A renderer that renders what it is asked for: the first random numbers, and the labels."""

    def render(rng: Random, labels: Tensor, severity: Tensor) -> Tensor:
        asked.extend([rng.uniform(0, 1), labels, severity])
        return labels[:, None, None, None].to(torch.uint8)

    return render


def some_leaves() -> str:
    """Of two renderings, as those of more pictures are cut."""
    apart = patch.object(dead_leaves, "TOGETHER", 3)
    with tempfile.TemporaryDirectory() as folder, patch.dict(os.environ, TAUJP_CACHE=folder), apart:
        return bytes_of(DeadLeaves(5).images(16))


def splitting() -> str:
    labels = torch.from_numpy(np.random.RandomState(1).choice(4, 200, p=[0.5, 0.3, 0.15, 0.05]))
    task = Task("golden", tuple(CLASSES), ("{}",), 32, suite().task("first").source)
    numbers = torch.arange(200)
    kept = reservoir(Split(some_images(200, 0), numbers, fair=True), 20).labels
    return bytes_of(*load.held_out(200), *load.held_out_test(task, 200), fair_order(labels), kept)


def decoding() -> str:
    """Pictures of several kinds brought to 32 pixels, and random crops of them."""
    grey = np.random.RandomState(2).randint(0, 2**16, (40, 50)).astype(np.uint16)
    colours = np.random.RandomState(3).randint(0, 256, (50, 40, 3)).astype(np.uint8)
    sources = [
        encoded(Image.fromarray(array)) for array in (grey, colours, (grey >> 8).astype(np.uint8), colours[..., 0])
    ]
    data = Split(pictures.Pictures("golden", sources, 32), torch.arange(4))
    return bytes_of(data.tensors[0], data.training_batch([2, 0, 1, 1], 0.3, (1, 2))[0])


def encoded(image: Image.Image) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, "PNG")
    return buffer.getvalue()


def batches() -> str:
    return bytes_of(torch.tensor([batch_indices(10, 4, step, 3, seed) for seed in (0, 1) for step in range(9)]))


def reading(source: type) -> str:
    """Images and labels of all splits, in their order, of a small data set as this source has it."""
    rows = {"train": 24, "test": 9}
    images = {part: some_images(count, count, 36) for part, count in rows.items()}
    labels = {part: [number * 3 // count for number in range(count)] for part, count in rows.items()}
    with tempfile.TemporaryDirectory() as folder, patch.dict(os.environ, TAUJP_DATA=folder):
        task = WRITERS[source](Path(folder), images, labels)
        splits = [load_split(task, name).tensors for name in load.SPLITS]
    return bytes_of(*(tensor for both in splits for tensor in both))


def files_of(images: Tensor) -> list[bytes]:
    return [encoded(Image.fromarray(image.permute(1, 2, 0).numpy())) for image in images]


def in_folders(root: Path, images: dict, labels: dict) -> Task:
    write_folders(root / "pets", images, labels)
    return sized(own_task("pets", folder="pets"))


def write_folders(root: Path, images: dict, labels: dict) -> None:
    for part in images:
        for number, (file, label) in enumerate(zip(files_of(images[part]), labels[part], strict=True)):
            folder = root / part / CLASSES[label] / str(number % 2)
            folder.mkdir(parents=True, exist_ok=True)
            (folder / f"{number}.png").write_bytes(file)


def table_of(images: dict, labels: dict, part: str) -> datasets.Dataset:
    features = datasets.Features({"image": datasets.Image(), "label": datasets.ClassLabel(names=CLASSES)})
    rows = [{"bytes": file, "path": None} for file in files_of(images[part])]
    return datasets.Dataset.from_dict({"image": rows, "label": labels[part]}, features=features)


def in_a_table(root: Path, images: dict, labels: dict) -> Task:
    datasets.DatasetDict({part: table_of(images, labels, part) for part in images}).save_to_disk(root / "table")
    return sized(own_task("pets", dataset="table"))


def on_the_hub(root: Path, images: dict, labels: dict) -> Task:
    folder = hub.copy_folder(Hub("someone/pets", "abc"), root)
    for part in images:
        (folder / part).mkdir(parents=True)
        table_of(images, labels, part).to_parquet(folder / part / "0.parquet")
    write_json(folder / hub.RECORD, {"repo": "someone/pets", "commit": "abc", "complete": True})
    return sized(own_task("pets", hub={"repo": "someone/pets", "revision": "abc"}))


def given(root: Path, images: dict, labels: dict) -> Task:
    return sized(own_task("pets", CLASSES, **{part: (images[part], labels[part]) for part in images}))


def as_published(root: Path, images: dict, labels: dict) -> Task:
    write_folders(root / "pets", images, labels)
    return Task("pets", tuple(CLASSES), ("{}",), 32, Published("pets", Hub("someone/pets", "abc")))


def sized(task: Task) -> Task:
    return replace(task, image_size=32)


WRITERS = {ClassFolders: in_folders, Table: in_a_table, Hub: on_the_hub, InMemory: given, Published: as_published}


# Numbers


def head() -> list[float]:
    return numbers_of({"head": zero_shot_head(tower(), tuple(CLASSES), ("a photo of a {}.", "the number {}"))})


def config_of(task: str, method: str, **changes) -> RunConfig:
    """Every number is said here: a default that changes is another configuration, not another behaviour."""
    own = {name: number_said(p, 2.0 + k) for k, (name, p) in enumerate(METHODS[method].parameters.items())}
    numbers = dict(
        steps=2, batch_size=8, peak_lr=1e-3, weight_decay=0.1, warmup_steps=1, clip_norm=0.5, penalty_weight=0.3,
        penalty_batch_size=4, penalty_start=0, penalty_reservoir=0, accumulation=1, least_crop=0.6, precision="float32",
    )  # fmt: skip
    others = [name for name in [*TASKS, "control"] if name != task]
    return run_config(suite(), task, method, seed=3, **{**own, **numbers, "penalty_tasks": others, **changes})


def number_said(parameter: Parameter, number: float) -> int | float | str:
    """A value that is not the default, where there is another: this number, or a quarter of the most that is accepted."""
    if parameter.accepted:
        return parameter.default
    if isinstance(parameter.default, int):
        return 1
    return number if parameter.most == math.inf else parameter.most / 4


def two_steps(method: str) -> list[float]:
    """τ after two steps, the losses and the penalties."""
    with tempfile.TemporaryDirectory() as store:
        run = finetune(config_of("first", method), store, tower())
    rows = [number for row in run.record["history"] for number in (row["loss"], row["penalty"])]
    return numbers_of(run.vector.tau) + scaled(rows, run.vector.norm())


def scaled(numbers: list[float], size: float) -> list[float]:
    """Brought to the size of others, for a tolerance counts in units of the largest number of a result."""
    return [number * size / max(1e-9, *map(abs, numbers)) for number in numbers]


def two_steps_jointly(method: str) -> list[float]:
    with tempfile.TemporaryDirectory() as store:
        configs = [config_of(task, method, steps=1, batch_size=12) for task in TASKS]
        return numbers_of(joint.train_jointly(configs, store, tower()).tau)


def merged(method: str, with_control: bool) -> list[float]:
    images = {task: alike(24, 10 + seed) for seed, task in enumerate(TASKS)}
    control = alike(24, 20) if with_control else None
    found = merge.merge(vectors(method), tower(), images, control, rounds=2, round_images=8)
    assert found.history.held.iloc[-1] < found.history.held.iloc[0]  # the merge is not its start
    return numbers_of(found.vector.tau)


def repairs() -> list[float]:
    """Of a long vector and of an unsure one: the students' features. Adam makes the rounding of key biases large, which no feature
    depends on.
    """
    clip, (vector, *_) = tower(), vectors("standard")
    head = zero_shot_head(clip, tuple(CLASSES), ("a photo of a {}.",))
    ways = [distac.shorter(2.0, 1.0, 3, 1e-3, batch_size=4), distac.surer(3, 1e-3, batch_size=4)]
    students = [distac.distilled(clip, vector, alike(10, 30), head, how) for how in ways]
    shown = [ENCODER.features(clip, student.tau, some_images(6, 40)) for student in students]
    return [number for features in shown for number in numbers_of({"features": features})]


def rivals_merge(name: str, application: Application) -> list[float]:
    heads = [zero_shot_head(tower(), tuple(CLASSES), ("a photo of a {}.",))] * len(TASKS)
    evidence = Evidence(tower(), application, [some_images(6, 10 + seed) for seed in range(len(TASKS))], heads)
    method = application.plain_method
    with patch.object(adamerging, "STEPS", adamerging.STEPS // 50):  # many alike
        return numbers_of(RIVALS[name].merged([vector.tau for vector in vectors(method)], evidence))


def measured() -> list[float]:
    """Accuracies of one vector, a random one, on scans: an untrained tower answers nothing."""
    mini = load_clip("mini", device="cpu")
    theta0 = {name: value.double() for name, value in mini.theta0.items()}
    clip = replace(mini, model=mini.model.double(), encoder=mini.encoder.double(), theta0=theta0)
    scans = load_suite("mini").tasks
    setting = arena.Setting(clip, own_suite("mini", [scans["uci"], scans["fashion"]], scans["mnist"]), 6, 40, 40)
    found = vectors("standard", clip, ["uci", "fashion"])
    return arena.measure_merge(setting, found[0], found)[["coefficient", "accuracy"]].to_numpy(float).ravel().tolist()


# What there is


def version_of(thing: object) -> dict[str, int]:
    """Of a module's VERSION, a source's `version`."""
    if isinstance(thing, type):
        return {f"{thing.__module__.replace('.', '/')}.py": thing.version}
    return {f"{thing.__name__.replace('.', '/')}.py": thing.VERSION}


def entries() -> dict[str, Entry]:
    seen = version_of(pictures) | version_of(load)
    found = {}
    for data, renderer in rendered.RENDERERS.items():
        place = {f"{renderer.__module__.replace('.', '/')}.py": rendered.VERSIONS[data]}
        found[f"four pictures of {data}"] = Entry(place, partial(four_pictures, data))
    found["pictures of the package"] = Entry(version_of(Package), package_pictures)
    found["dead leaves"] = Entry(version_of(DeadLeaves), some_leaves)
    found["splitting"] = Entry(version_of(load), splitting)
    found["decoding"] = Entry(version_of(pictures), decoding)
    found["batches"] = Entry(version_of(optimisation), batches)
    for source in WRITERS:
        found[f"pictures from {source.keys[0] if source.keys else 'memory'}"] = Entry(
            seen | version_of(source), partial(reading, source)
        )
    found["zero-shot head"] = Entry(version_of(models), head)
    trained = seen | version_of(InMemory) | version_of(models) | version_of(optimisation)
    for name, method in METHODS.items():
        place = {f"METHOD in taujp_core/methods/{name.replace('-', '_')}.py": method.version}
        found[f"two steps of {name}"] = Entry(trained | place, partial(two_steps, name))
    for name in ("standard", "linear"):
        place = {f"METHOD in taujp_core/methods/{name}.py": METHODS[name].version}
        found[f"{name} jointly"] = Entry(trained | place | version_of(joint), partial(two_steps_jointly, name))
    for name, of in {"merge": ("standard", False), "merge, linearised": ("linear", False), "merge with control": ("standard", True)}.items():  # fmt: skip
        found[name] = Entry(version_of(merge), partial(merged, *of))
    found["repairs"] = Entry(version_of(distac) | version_of(models) | version_of(optimisation), repairs)
    for name, rival in RIVALS.items():
        place = {f"RIVAL of {name} in {rival.merge.__module__.replace('.', '/')}.py": rival.version}
        for application in [ENCODER] if rival.data_free or rival.in_weights else [ENCODER, LINEARISED]:
            found[f"{name}, {application.name}"] = Entry(
                place | version_of(models), partial(rivals_merge, name, application)
            )
    found["arena"] = Entry(seen | version_of(Package) | version_of(models) | version_of(arena), measured)
    return found


def is_same(one: Result, other: Result) -> bool:
    if isinstance(one, str) or isinstance(other, str):
        return one == other
    size = max(abs(number) for number in other)
    return len(one) == len(other) and all(abs(a - b) <= TOLERANCE * size for a, b in zip(one, other, strict=True))


def complaint(name: str, entry: Entry, golden: dict, result: Result) -> str:
    """What is wrong with a result, and what to do; empty if nothing is."""
    if name not in golden or golden[name]["versions"] != entry.versions:
        return f"the golden result of “{name}” is of other versions or missing: run `python tests/tools/golden.py`"
    if is_same(result, golden[name]["result"]):
        return ""
    return (
        f"“{name}” gives another result than its version says, and whoever looks would find results of the old behaviour: "
        f"raise VERSION in what you changed of {', '.join(entry.versions)}, and run `python tests/tools/golden.py`; or take "
        f"the change back. Now {result}, golden {golden[name]['result']}"
    )


def read() -> dict:
    return json.loads(FILE.read_text(encoding="utf-8")) if FILE.is_file() else {}


def main() -> int:
    argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter).parse_args()
    torch.set_num_threads(1)
    golden, written, refused = read(), {}, []
    for name, entry in entries().items():
        result = entry.compute()
        if name in golden and golden[name]["versions"] == entry.versions:
            written[name] = golden[name]
            refused += [said] if (said := complaint(name, entry, golden, result)) else []
        else:
            written[name] = {"versions": entry.versions, "result": result}
            print(f"new: {name}")
    FILE.write_text(json.dumps(written, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
    print("\n".join(refused), file=sys.stderr)
    return bool(refused)


if __name__ == "__main__":
    sys.exit(main())
