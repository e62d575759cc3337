"""What does `taujp examples DIR` make? Two fine-tuned checkpoints of the small CLIP, and pictures to try everything with.

DIR/published/fashion.safetensors open_clip's layout
DIR/published/street/             a folder that transformers' CLIPModel loads
DIR/pictures/TASK/                unlabelled pictures of both tasks, and of `control`
DIR/train/TASK/CLASS/             labelled pictures, some of those that the checkpoints were trained on
DIR/validation/TASK/CLASS/        to choose a coefficient by
DIR/tests/TASK/CLASS/             to measure accuracies on
"""

import shutil
from dataclasses import replace
from pathlib import Path

from torchvision.transforms.functional import to_pil_image

from taujp_core.checkpoints import save_hugging_face, save_open_clip
from taujp_core.checkpoints.writing import write_folder
from taujp_core.datasets import Split, load_split
from taujp_core.models import Clip
from taujp_core.pretrained import load_clip
from taujp_core.progress import say
from taujp_core.suites import load_suite
from taujp_core.task_vectors import edited
from taujp_core.tasks import TEMPLATES, Task
from taujp_core.training.one_task import train

TASKS = ("fashion", "street")
PARTS = {"train": "train", "validation": "validation", "tests": "test"}  # folders, and the splits that they are from
STEPS = 60
PICTURES, LABELLED = 64, 200  # of each task, and of each of its labelled parts


def write_examples(folder: Path) -> None:
    """Raises ValueError for a folder that is not empty; nothing is left half-written."""
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise ValueError(f"{folder} exists and is not empty: give a new folder")
    clip, suite = load_clip("mini"), load_suite("mini")
    # With the templates that everything has by default, so that what is trained is what is tested.
    tasks = [replace(suite.task(name), templates=TEMPLATES) for name in TASKS]

    def write(folder: Path) -> None:
        for task in tasks:
            write_pictures(load_split(task, "train").first(PICTURES), folder / "pictures" / task.name)
            for part, split in labelled_parts(task).items():
                write_class_folders(split, task, folder / part / task.name)
        write_pictures(load_split(suite.needed_control(), "train").first(PICTURES), folder / "pictures" / "control")
        for task in tasks:
            say(f"fine-tuning on {task.name}: {STEPS} steps, about 20 seconds on two cores")
            write_checkpoint(clip, task, folder / "published", folder / "runs")
        shutil.rmtree(folder / "runs")

    write_folder(folder, write)
    print(
        f"{folder} holds two checkpoints of the small CLIP, and pictures. Go on with one of these, in {folder}:\n"
        "  taujp tau-jp published/ --base mini --images pictures/\n"
        "  taujp coefficients published/ --base mini --tests tests/ --validation validation/\n"
        "  taujp merge published/ --base mini --images pictures/ -o merged/\n"
        "  taujp evaluate merged/ --base mini --tests tests/\n"
        "  taujp train train/street --base mini --others pictures/ --set steps=20"
    )


def write_checkpoint(clip: Clip, task: Task, published: Path, store: Path) -> None:
    run = train(clip, task, method="standard", store=store, steps=STEPS)
    theta = edited(clip.theta0, [run.vector], [1.0])
    if task.name == TASKS[0]:
        published.mkdir(exist_ok=True)
        save_open_clip(clip, theta, published / f"{task.name}.safetensors")
    else:
        save_hugging_face(clip, theta, published / task.name)


def labelled_parts(task: Task) -> dict[str, Split]:
    return {part: load_split(task, split).first(LABELLED) for part, split in PARTS.items()}


def write_pictures(split: Split, folder: Path) -> None:
    folder.mkdir(parents=True)
    for number, image in enumerate(split.images):
        to_pil_image(image).save(folder / f"{number:03}.png")


def write_class_folders(split: Split, task: Task, folder: Path) -> None:
    images, labels = split.tensors
    for number, (image, label) in enumerate(zip(images, labels.tolist(), strict=True)):
        place = folder / task.classes[label].replace(" ", "_").replace("/", "_")
        place.mkdir(parents=True, exist_ok=True)
        to_pil_image(image).save(place / f"{number:03}.png")
