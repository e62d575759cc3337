"""The twenty tasks' data sets as they lie on the Hugging Face hub, with a few made-up pictures."""

import io

import datasets
from written import encoded, noise

from taujp_core.suites import load_suite
from taujp_core.tasks import Task

SUITE = load_suite("clip20-b32")
PARTS = {"train": 5, "test": 3}  # pictures that are written
# What the label column of the hub's copy holds; without an entry our names of the classes.
NAMES = {
    **dict.fromkeys(
        ("cars", "dtd", "eurosat", "gtsrb", "mnist", "resisc45", "sun397", "svhn", "fer2013", "emnist"),
        datasets.Value("int64"),
    ),
    "pcam": datasets.Value("bool"),  # whether there is a tumour
    "cifar100": [{"crab": "cra"}.get(name, name.replace(" ", "_")) for name in SUITE.task("cifar100").classes],
    "food101": [name.replace(" ", "_") for name in SUITE.task("food101").classes],
    "oxfordiiitpet": [name.lower().replace(" ", "_") for name in SUITE.task("oxfordiiitpet").classes],
    "flowers102": [
        {"air plant": "ball moss", "pink and yellow dahlia": "pink-yellow dahlia?"}.get(name, name)
        for name in SUITE.task("flowers102").classes
    ],
    "fashionmnist": ["T - shirt / top", *SUITE.task("fashionmnist").classes[1:]],
    "kmnist": ["お", "き", "す", "つ", "な", "は", "ま", "や", "れ", "を"],
}


def labels_of(name: str, part: str) -> list[int]:
    """The first, the last and others of the classes."""
    last = len(SUITE.task(name).classes) - 1
    return [0, last, last // 2, 1, last][: PARTS[part]]


def parquet(name: str, part: str, times: int) -> bytes:
    source, labels = SUITE.task(name).source.hub, times * labels_of(name, part)
    kind = NAMES.get(name, [*SUITE.task(name).classes])
    kind = datasets.ClassLabel(names=kind) if isinstance(kind, list) else kind
    images = [{"bytes": encoded(noise(100 * len(part) + k, 8, 9)), "path": None} for k in range(len(labels))]
    table = datasets.Dataset.from_dict(
        {source.image: images, source.label: [bool(label) if name == "pcam" else label for label in labels]},
        features=datasets.Features({source.image: datasets.Image(), source.label: kind}),
    )
    table.to_parquet(file := io.BytesIO())
    return file.getvalue()


def hub_files(task: Task, times: int = 1) -> dict[str, bytes]:
    """The files of a task's repository, with so many times the pictures."""
    source = task.source.hub
    patterns = {"train": source.train, "test": source.test, "validation": source.validation}
    return {
        pattern.replace("*", "00000-of-00001" if "-*" in pattern else "0000"): parquet(
            task.name, "test" if part != "train" else part, times
        )
        for part, pattern in patterns.items()
        if part != "validation" or task.validation_images
    }
