"""Pictures and test sets in every form that a call takes: the same pictures, whatever the form."""

import numpy as np
import pytest
import torch
from conftest import random_images, random_like
from PIL import Image
from torch.utils.data import Dataset

from analysis.evaluate import coefficient_curves, evaluate, plot_coefficients
from analysis.merging.merge_call import merge
from analysis.tau_jp import tau_jp
from taujp_core.datasets import Split, load_split
from taujp_core.datasets.user_inputs import by_name, images_of, name_of, test_set, unlabelled_task
from taujp_core.evaluation import features
from taujp_core.models import logits, zero_shot_head
from taujp_core.parameters import added
from taujp_core.suites import load_suite, own_suite, own_task
from taujp_core.task_vectors import TaskVector
from taujp_core.training.config import run_config
from taujp_core.training.finetune import finetune
from taujp_core.training.one_task import train

test_set.__test__ = False
CLASSES = ["cat", "dog house"]


class Pairs(Dataset):
    classes = tuple(CLASSES)

    def __init__(self, images, labels):
        self.images, self.labels = images, labels

    def __len__(self):
        return len(self.images)

    def __getitem__(self, index):
        return self.images[index], int(self.labels[index])


def pil(image: torch.Tensor) -> Image.Image:
    return Image.fromarray(image.permute(1, 2, 0).numpy())


def written(images, labels, folder):
    for number, (image, label) in enumerate(zip(images, labels.tolist(), strict=True)):
        place = folder / CLASSES[label].replace(" ", "_")
        place.mkdir(parents=True, exist_ok=True)
        pil(image).save(place / f"{number}.png")
    return folder


def in_order(images):
    """As a set: forms have orders of their own."""
    return images[np.lexsort(images.flatten(1).numpy().T)]


@pytest.fixture
def pets(tmp_path):
    images, labels = random_images(12), torch.arange(12) % 2
    return images, labels, written(images, labels, tmp_path / "pets" / "test")


def test_pictures_are_the_same_in_every_form(pets):
    images, labels, folder = pets
    task = own_task("pets", CLASSES, train=(images, labels), val=(images, labels), test=(images, labels))
    forms = {
        "folder": folder,
        "path": str(folder),
        "bytes": images,
        "pictures": [pil(image) for image in images],
        "dataset": Pairs(images, labels),
        "split": Split(images, labels),
        "task": task,
    }
    for name, given in forms.items():
        found = images_of(name, given, 32)
        assert torch.equal(in_order(found), in_order(images)), name
        few = images_of(name, given, 32, 5)
        assert few.shape == (5, 3, 32, 32) and len(torch.cat([images, few]).unique(dim=0)) == 12, name
        assert images_of(name, given, 16).shape == (12, 3, 16, 16), name


def test_few_of_a_sorted_tensor_are_a_fair_sample():
    labels = torch.arange(400) // 100
    images = labels.byte()[:, None, None, None].expand(-1, 3, 32, 32).contiguous()
    few = images_of("sorted", images, 32, 40)[:, 0, 0, 0]
    assert few.bincount(minlength=4).min() >= 4


@pytest.mark.parametrize(
    ("given", "error", "sentence"),
    [
        (torch.rand(4, 3, 8, 8), TypeError, "images of x must be a tensor of bytes"),
        (random_images(2).permute(0, 2, 3, 1), ValueError, r"must have the shape \[n, 3, h, w\]"),
        (torch.empty(0, 3, 8, 8, dtype=torch.uint8), ValueError, "at least one picture"),
        ([], ValueError, "at least one picture"),
        (3, TypeError, "x must be a folder, bytes .* not int"),
        (["a.png"], TypeError, "x must be a folder, bytes .* not list"),
        ("nowhere", FileNotFoundError, "nowhere does not exist"),
    ],
)
def test_what_are_no_pictures_is_answered(given, error, sentence, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(error, match=sentence) as caught:
        images_of("x", given, 32)
    assert "\n" not in str(caught.value)


def test_data_sets_have_names(pets, tmp_path):
    assert name_of(pets[2]) == "pets" and name_of(str(pets[2].parent)) == "pets"
    street = load_suite("mini").task("street")
    assert name_of(street) == "street" and list(by_name("x", [street])) == ["street"] == list(by_name("x", street))
    assert list(by_name("x", tmp_path)) == ["pets"]
    for given, error, sentence in [
        (3, TypeError, "x must be a mapping"),
        (tmp_path / "none", FileNotFoundError, "none does not exist"),
        (pets[2] / "cat", ValueError, "should hold a folder for each data set"),
    ]:
        with pytest.raises(error, match=sentence):
            by_name("x", given)


def test_test_sets_are_the_same_in_every_form(pets, mini):
    """By hand: logits of the encoder's features with the head of the class names."""
    images, labels, folder = pets
    task = own_task("pets", CLASSES, train=(images, labels), test=(images, labels))
    head = zero_shot_head(mini, tuple(CLASSES), ("a photo of a {}.",))
    vector = TaskVector(random_like(mini.theta0, 1), mini.fingerprint, "pets", "standard")
    for model, theta in ((None, mini.theta0), (vector, added(mini.theta0, vector.tau))):
        found = logits(features(mini.encoder, theta, images), head)
        right = (found.argmax(-1) == labels).double().mean().item()
        loss = torch.nn.functional.cross_entropy(found, labels).item()
        forms = [folder, folder.parent, task, Pairs(images, labels), (images, labels, CLASSES), {"pets": str(folder)}]
        for given in forms:
            table = evaluate(mini, model, given)
            assert table.images.tolist() == [12] and table.accuracy.tolist() == [right]
            assert table.nll.item() == pytest.approx(loss, rel=1e-5)
    doubled = evaluate(mini, vector, task, coefficient=2.0)
    twice = logits(features(mini.encoder, added(mini.theta0, (2 * vector).tau), images), head)
    assert doubled.nll.item() == pytest.approx(torch.nn.functional.cross_entropy(twice, labels).item(), rel=1e-5)
    assert (
        evaluate(mini, None, task, templates=["a drawing of a {}."]).nll.item() != evaluate(mini, None, task).nll.item()
    )


@pytest.mark.parametrize(
    ("given", "error", "sentence"),
    [
        (lambda pets: pets[0], TypeError, "the test images of data must be class folders, .* not Tensor"),
        (lambda pets: (pets[0], pets[1] + 1, CLASSES), ValueError, "has label 2, accepted are 0 to 1"),
        (lambda pets: pets[2] / "cat", ValueError, "should hold a folder of pictures for each class"),
        (lambda pets: pets[2] / "none", FileNotFoundError, "none does not exist"),
        (lambda pets: pets[2].rename(pets[2].with_name("train")).parent, ValueError, "has train and no test"),
    ],
)
def test_what_is_no_test_set_is_answered(given, error, sentence, pets, mini):
    with pytest.raises(error, match=sentence):
        evaluate(mini, None, given(pets))


def test_one_model_is_evaluated(mini):
    vectors = [TaskVector(random_like(mini.theta0, k), mini.fingerprint, f"t{k}", "linear") for k in (1, 2)]
    with pytest.raises(ValueError, match="evaluate takes one model, not 2 vectors: give their sum or their merge"):
        evaluate(mini, vectors, load_suite("mini").task("signs"))
    with pytest.raises(TypeError, match="a task vector, a run or a merge is needed, not str"):
        tau_jp(mini, "vector", [load_suite("mini").task("signs")])
    with pytest.raises(ValueError, match="at least one task vector"):
        tau_jp(mini, [], [load_suite("mini").task("signs")])


@pytest.mark.parametrize("method", ["linear", "standard"])
def test_curves_are_evaluations_at_each_coefficient(pets, mini, method):
    folder = pets[2]
    vectors = [
        TaskVector(random_like(mini.theta0, k, 0.01), mini.fingerprint, t, method)
        for k, t in enumerate(("pets", "cars"))
    ]
    other = (random_images(6, 3), torch.arange(6) % 2, CLASSES)
    curves = coefficient_curves(mini, vectors, {"pets": folder, "boats": other}, [0.0, 0.5, 1.0])
    single = evaluate(mini, vectors[0], {"pets": folder}).accuracy.item()
    for alpha, rows in curves.groupby("coefficient"):
        table = evaluate(mini, vectors[0] + vectors[1], {"pets": folder, "boats": other}, alpha)
        assert rows.set_index("task").accuracy.to_dict() == table.accuracy.to_dict()
        assert rows.set_index("task").loss.to_dict() == pytest.approx(table.nll.to_dict(), rel=1e-4)
    by_task = curves.groupby("task").single.first()
    assert by_task.get("pets") == single and curves[curves.task == "boats"].normalised.isna().all()
    names = [trace.name for trace in plot_coefficients(mini, vectors, {"pets": folder}, coefficients=[0.0, 1.0]).data]
    assert "pets" in names and not any("tuned" in name for name in names)
    figure = plot_coefficients(mini, vectors, {"pets": folder}, {"pets": folder}, [0.0, 1.0])
    assert any("tuned" in trace.name for trace in figure.data)
    with pytest.raises(ValueError, match="validation has the unknown key 'cars': accepted are pets"):
        plot_coefficients(mini, vectors, {"pets": folder}, {"cars": folder}, [0.0, 1.0])


def test_a_merge_takes_pictures_as_they_are(tiny, tmp_path):
    vectors = [TaskVector(random_like(tiny.theta0, k), tiny.fingerprint, t, "linear") for k, t in enumerate(("a", "b"))]
    pictures = {"a": random_images(6, 1), "b": random_images(6, 2), "control": random_images(6, 3)}
    own = {"a": pictures["a"], "b": pictures["b"]}
    found = merge(tiny, vectors, own, pictures["control"], rounds=1)
    for name, images in pictures.items():
        written(images, torch.zeros(len(images), dtype=torch.long), tmp_path / "pictures" / name)
    path = tmp_path / "merged.safetensors"
    assert found.save(path) == path == found.save(str(path))
    with pytest.raises(ValueError, match="exists and is another model"):
        merge(tiny, vectors, own, rounds=1).save(path)
    again = merge(tiny, vectors, own, pictures["control"], rounds=1, output=path)
    assert (
        again.vector.digest() == found.vector.digest()
        and repr(again) == repr(found) == "Merged(a, b into tiny, rounds: 1)"
    )
    from_folder = merge(tiny, vectors, tmp_path / "pictures", rounds=1)
    assert set(from_folder.distances["set"]) == {"a", "b", "control"}  # the folder's own control
    assert len(merge(tiny, vectors, own, most=4, rounds=1).distances) == 2
    for images, sentence in [
        ({"a": own["a"]}, "the checkpoint b has no pictures: there are a"),
        ({**own, "c": own["a"]}, "there are pictures of c and no checkpoint of that name, but of a, b"),
        (own["a"], "images must be a mapping of names"),
    ]:
        with pytest.raises((TypeError, ValueError), match=sentence):
            merge(tiny, vectors, images)


def test_a_training_without_a_suite_is_that_of_a_suite(tiny, tmp_path):
    """The same vector, bit for bit, with pictures without labels in the place of tasks."""
    suite = load_suite("mini")
    street, signs = suite.task("street"), suite.task("signs")
    small = {"steps": 3, "batch_size": 8, "penalty_batch_size": 4, "peak_lr": 1e-3}
    own = own_suite(tiny, [street, signs])
    assert own.control is None and [*own.datasets()] == ["street", "signs"]
    expected = finetune(run_config(own, "street", "taujp-efficient", **small), tmp_path / "a", tiny).vector
    found = train(tiny, street, [signs], store=tmp_path / "b", **small)
    assert found.vector.digest() == expected.digest() and found.config.penalty_tasks == ("signs",)
    pictures = {"signs": load_split(signs, "train").images}
    unlabelled = train(tiny, street, pictures, store=tmp_path / "c", **small)
    every = (pictures["signs"], torch.zeros(len(pictures["signs"]), dtype=torch.long))
    labelled = own_task("signs", ["whatever"], train=every, val=every, test=every)
    assert unlabelled.vector.digest() == train(tiny, street, [labelled], store=tmp_path / "e", **small).vector.digest()
    assert train(tiny, street, pictures, store=tmp_path / "c", **small).folder == unlabelled.folder
    with pytest.raises(ValueError, match="taujp-efficient needs at least one other data set"):
        train(tiny, street, store=tmp_path / "d", **small)
    with pytest.raises(ValueError, match="the suite own is without a control, and one is needed here"):
        own.needed_control()


def test_folders_are_trained_on_and_left_alone(tiny, tmp_path):
    images, labels = random_images(40), torch.arange(40) % 2
    pets = written(images, labels, tmp_path / "pets")
    others = written(random_images(7, 5), torch.zeros(7, dtype=torch.long), tmp_path / "pictures" / "cars").parent
    small = {"steps": 2, "batch_size": 4, "penalty_batch_size": 2, "peak_lr": 1e-3}
    run = train(tiny, pets, others, store=tmp_path / "runs", **small)
    assert run.vector.task == "pets" and run.config.penalty_tasks == ("cars",)
    assert run.config.suite.task("pets").classes == ("cat", "dog house")
    pil(images[0]).save(others / "cars" / "another.png")
    assert (
        train(tiny, pets, others, store=tmp_path / "runs", **small).folder != run.folder
    )  # other pictures, another run
    with pytest.raises(ValueError, match="cars has no pictures"):
        load_split(unlabelled_task("cars", (tmp_path / "cars").mkdir() or tmp_path / "cars", 32), "train")
