"""Which images and labels are a task's training, validation and test split?"""

import math
from collections.abc import Mapping, Sequence

import torch
from torch import Tensor

from ..checks import one_of
from ..optimisation import epoch_order
from ..tasks import Place, Task
from .pictures import Pictures
from .split import Split

VERSION = 1  # of which picture is in which split, and at which place
SPLITS = ("train", "validation", "test")
VALIDATION_SHARE, VALIDATION_MOST = 0.1, 5000
TEST_SHARE = 0.2
VALIDATION_SEED, TEST_SEED = 0, 2


def load_split(task: Task, split: str, place: Place | None = None) -> Split:
    """The images and labels of a task's `train`, `validation` or `test` split.

    Test and validation are the published ones where they are. Without test images a fifth of the training images is
    the test split, drawn with seed 2; without validation images, of the training images that are left 10 %, at most
    5000, drawn with seed 0; train is the rest. The first n images of a split are a fair sample of the split: the order
    is random or `fair_order`, and does not depend on the source's order. `place`: where the data set is, if that is known. Raises
    FileNotFoundError that tells how to get a data set that is not there, ValueError for too few images to draw from.
    """
    one_of("split", split, SPLITS)
    place = place or task.locate()
    published = {"train": "train", "validation": "val", "test": "test"}[split]
    if published in place.parts and (split != "train" or {"val", "test"} <= set(place.parts)):
        return find(task, published, place).in_fair_order()
    data = find(task, "train", place)
    if "test" not in place.parts:
        rest, test = held_out_test(task, len(data))
        if split == "test":
            return data.subset(test, fair=True)
        data = data.subset(rest, fair=True)
    if "val" in place.parts:
        return data
    train, validation = held_out(len(data))
    check_enough(task, len(validation), len(data), "a tenth of them out for validation")
    return data.subset(validation if split == "validation" else train, fair=True)


def check_enough(task: Task, images: int, of: int, what: str) -> None:
    if images == 0:
        raise ValueError(f"{task.name} has {of} training images, too few to hold {what}")


def held_out_test(task: Task, count: int) -> tuple[Tensor, Tensor]:
    """Indices of the training and of the test images among `count` training images, where no test images are given."""
    rest, test = drawn(count, int(TEST_SHARE * count), TEST_SEED)
    check_enough(task, len(test), count, "a fifth of them out for testing")
    return rest, test


def held_out(count: int) -> tuple[Tensor, Tensor]:
    """Indices of the training and of the validation images among `count` training images."""
    return drawn(count, validation_images(count), VALIDATION_SEED)


def drawn(count: int, held: int, seed: int) -> tuple[Tensor, Tensor]:
    """Indices of those that stay and of the `held` ones."""
    order = torch.from_numpy(epoch_order(count, seed))
    return order[held:], order[:held]


def validation_images(count: int) -> int:
    return min(int(VALIDATION_SHARE * count), VALIDATION_MOST)


def find(task: Task, part: str, place: Place | None = None) -> Split:
    """A part of the data set as it was published: `train`, or `val` or `test` where they are.

    Bytes of the task's size are in memory as they are, other pictures are to be decoded. Raises what `Source.locate`
    and `encoded` do.
    """
    found = encoded(task, part, place or task.locate())
    sources = getattr(found.pictures, "sources", None)
    if isinstance(sources, Tensor) and sources.shape[-2:] == (task.image_size, task.image_size):
        return Split(sources, found.labels, found.fair)
    return found


def encoded(task: Task, part: str, place: Place) -> Split:
    """The same as `Pictures`, which know their names, wherever they are.

    Raises ValueError for a part without pictures, for labels that are not the task's, and for a task whose size no model has decided yet.
    """
    if task.image_size is None:
        raise ValueError(
            f"the size of the pictures of {task.name} is not known yet: give `task.sized(clip.image_size)`"
        )
    sources, labels = place.read(part)
    title = f"{task.name} {part} in {place.name}"
    check_labels(title, labels, len(task.classes))
    return Split(Pictures(title, sources, task.image_size), torch.as_tensor(labels), place.shuffled)


def check_labels(title: str, labels: Sequence[int] | Tensor, classes: int) -> None:
    if not len(labels):
        raise ValueError(f"{title} has no pictures")
    values = torch.as_tensor(labels)
    wrong = ((values < 0) | (values >= classes)).nonzero().flatten()
    if len(wrong):
        index = int(wrong[0])
        raise ValueError(f"{title}: picture {index} has label {int(values[index])}, accepted are 0 to {classes - 1}")


def validation_is_published(task: Task) -> bool:
    """Whether the validation images are those that were published, of which nothing is trained on.

    Copies from the hub are without them; a data set that is not there yet is taken to come with them.
    """
    if not task.validation_images:
        return False
    try:
        return "val" in task.locate().parts
    except FileNotFoundError:
        return True


def steps_of_epochs(epochs: int | float | Mapping[str, int | float], task: Task, batch_size: int) -> int:
    """Steps of so many epochs over the task's training images: one number for every task, or one for each by name.

    Each epoch counts its short last batch as a step, as the reference code does (Yoshida et al. 2025), though batches
    here run over the ends of epochs. Images are the published count without those held out for validation, so that
    the steps are known before a benchmark is downloaded; of other data sets they are counted. Raises ValueError for a
    task that the epochs do not name, and for no positive number.
    """
    if isinstance(epochs, Mapping):
        epochs = epochs[one_of("task of the recipe", task.name, epochs)]
    if isinstance(epochs, bool) or not isinstance(epochs, int | float) or not 0 < epochs < math.inf:
        raise ValueError(f"epochs of {task.name} must be a positive number, not {epochs!r}")
    return max(1, round(epochs * math.ceil(training_images(task) / batch_size)))


def training_images(task: Task) -> int:
    """Without those for validation."""
    if task.train_images is None:
        return len(load_split(task, "train"))
    return task.train_images - (0 if validation_is_published(task) else validation_images(task.train_images))
