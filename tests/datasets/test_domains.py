"""Environments of the scans that ship, against what they promise; PACS and VLCS on made-up fixtures."""

import math
import shutil

import pytest
import torch
from written import write_class_folders

from taujp_core.datasets import load_split
from taujp_core.datasets.__main__ import main
from taujp_core.datasets.domains import EVALUATIONS, coloured, rotated, small, turned
from taujp_core.datasets.sources.rendered import load_scans
from taujp_core.suites import load_suite


def generator(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def colours(pictures: torch.Tensor) -> torch.Tensor:
    """Which channel a picture is in; the other is empty."""
    filled = pictures.flatten(2).sum(-1) > 0
    assert (filled.sum(1) == 1).all()
    return filled[:, 1].long()


def near(share: float, expected: float, count: int) -> bool:
    """Within four standard errors of a binomial share."""
    return abs(share - expected) < 4 * math.sqrt(expected * (1 - expected) / count)


def digit_of(pictures: torch.Tensor, scans: torch.Tensor) -> torch.Tensor:
    """Which scan a coloured picture was, by its pixels."""
    return torch.cdist(pictures.sum(1).flatten(1), scans.flatten(1)).argmin(1)


@pytest.fixture(scope="module")
def scans() -> tuple[torch.Tensor, torch.Tensor]:
    """Every second pixel of the training digits, read here a second time, and their labels."""
    images, labels = load_scans("mnist", "train")
    return images[:, 0, 2:30:2, 2:30:2] / 255, labels


@pytest.mark.parametrize("data", ["mnist", "fashion"])
def test_colour_agrees_with_the_label_as_often_as_it_says(data):
    domains = coloured(data)
    for (pictures, labels), agree in zip(domains.draw(1100, generator()), (0.9, 0.8), strict=True):
        assert pictures.shape == (1100, 2, 14, 14) and labels.unique().tolist() == [0, 1]
        assert near((colours(pictures) == labels).double().mean().item(), agree, 1100)
    for name, agree in {"training": 0.85, "validation": 0.85, "validation environment": 0.5, "test": 0.1}.items():
        pictures, labels = domains.evaluations[name]
        assert near((colours(pictures) == labels).double().mean().item(), agree, len(labels)), name
    assert list(domains.evaluations) == list(EVALUATIONS)


def test_a_quarter_of_the_labels_is_flipped_whatever_the_colour(scans):
    pictures, labels = coloured("mnist").draw(1300, generator())[0]
    wrong = (scans[1][digit_of(pictures, scans[0])] < 5).long() != labels
    assert near(wrong.double().mean().item(), 0.25, 1300)
    agrees = colours(pictures) == labels
    assert near(wrong[agrees].double().mean().item(), 0.25, int(agrees.sum()))


def test_training_environments_and_validation_share_no_digit(scans):
    domains = coloured("mnist")
    first, second = (set(digit_of(pictures, scans[0]).tolist()) for pictures, _ in domains.draw(1350, generator()))
    held = set(digit_of(domains.evaluations["validation"][0], scans[0]).tolist())
    assert (len(first), len(second), len(held)) == (1350, 1350, 300)
    assert not first & second and not held & (first | second)
    assert held == set(digit_of(domains.evaluations["validation environment"][0], scans[0]).tolist())


def test_noise_and_colour_are_drawn_anew_unless_fixed(scans):
    """Of the same digit: two batches differ in label and colour; with `fixed` never."""

    def shown(domains, seed):
        pictures, labels = domains.draw(1350, generator(seed))[0]
        order = digit_of(pictures, scans[0]).argsort()
        return colours(pictures)[order], labels[order]

    for fixed in (False, True):
        domains = coloured("mnist", fixed=fixed)
        (colour, label), (other_colour, other_label) = shown(domains, 1), shown(domains, 2)
        assert torch.equal(label, other_label) is fixed
        assert torch.equal(colour, other_colour) is fixed
    assert not torch.equal(shown(coloured("mnist", 0, fixed=True), 1)[1], shown(coloured("mnist", 1, fixed=True), 1)[1])


def test_the_oracle_sees_the_same_labels_without_the_colour():
    seen, grey = coloured("mnist"), coloured("mnist", grey=True)
    for name in EVALUATIONS:
        (pictures, labels), (plain, same) = seen.evaluations[name], grey.evaluations[name]
        assert torch.equal(labels, same)
        assert torch.equal(pictures.sum(1, keepdim=True), plain)


def test_shoes_are_told_from_clothes_and_bags_are_left_out():
    images, labels = load_scans("fashion_mnist", "test")
    domains = coloured("fashion")
    pictures, told = domains.evaluations["test"]
    kept = labels != 8
    assert len(told) == 2 * int(kept.sum())
    wrong = told[: kept.sum()].bool() != torch.isin(labels[kept], torch.tensor([5, 7, 9]))
    assert near(wrong.double().mean().item(), 0.25, int(kept.sum()))
    torch.testing.assert_close(pictures[: kept.sum()].sum(1), images[kept][:, 0, 2:30:2, 2:30:2] / 255)


def test_angles_are_turned_anticlockwise():
    """A bar to the right of the centre stands above it after a quarter turn; no turn is no change."""
    picture = torch.zeros(1, 28, 28)
    picture[0, 12:16, 18:26] = 1
    up, _ = turned(picture, torch.zeros(1, dtype=torch.long), 90.0)
    expected = small(picture.rot90(1, (1, 2)))[:, None]
    torch.testing.assert_close(up, expected, atol=1e-4, rtol=0)
    torch.testing.assert_close(turned(picture, torch.zeros(1, dtype=torch.long), 0.0)[0], small(picture)[:, None])


def test_the_held_out_angle_is_seen_by_the_oracle_alone():
    plain, oracle = rotated(), rotated(oracle=True)
    assert plain.environments == ("0°", "15°", "30°", "45°", "60°")
    assert oracle.environments == (*plain.environments, "75°")
    assert [len(labels) for _, labels in oracle.draw(400, generator())] == [400] * 6
    for (ours, labels), (theirs, same) in zip(plain.draw(50, generator()), oracle.draw(50, generator()), strict=False):
        assert torch.equal(ours, theirs) and torch.equal(labels, same)
    assert [len(plain.evaluations[name][1]) for name in EVALUATIONS] == [3000, 1500, 300, 1000]


def test_bad_input_is_refused_in_a_sentence():
    with pytest.raises(ValueError, match="unknown data of environments 'uci': accepted are mnist, fashion"):
        coloured("uci")
    for wanted in (0, 1351):
        with pytest.raises(ValueError, match=f"an environment has 1350 pictures: .* from 1 to that, not {wanted}"):
            coloured("mnist").draw(wanted, generator())


# PACS and VLCS

SUITES = {
    "pacs": ("PACS", 7, ("art_painting", "cartoon", "photo", "sketch")),
    "vlcs": ("VLCS", 5, ("Caltech101", "LabelMe", "SUN09", "VOC2007")),
}


@pytest.fixture(params=SUITES)
def domainbed(request, tmp_path, monkeypatch):
    """A dozen pictures of each class in each domain, in DomainBed's folders: DOMAIN/CLASS/picture."""
    monkeypatch.setenv("TAUJP_DATA", str(tmp_path))
    folder, _, names = SUITES[request.param]
    classes = load_suite(request.param, complete=False).tasks[names[0]].classes
    for name in names:
        write_class_folders(tmp_path / folder, {name: 12}, list(classes), "jpg")
    return request.param, tmp_path / folder


def test_every_domain_is_a_task_with_the_same_classes(domainbed):
    name, _ = domainbed
    _, classes, domains = SUITES[name]
    suite = load_suite(name)
    assert tuple(suite.tasks) == domains
    for task in suite.tasks.values():
        assert task.classes == suite.tasks[domains[0]].classes and len(task.classes) == classes
        splits = {split: load_split(task, split) for split in ("train", "validation", "test")}
        counts = {split: len(data) for split, data in splits.items()}
        assert counts["test"] == 12 * classes // 5 and sum(counts.values()) == 12 * classes
        images, labels = splits["train"][[0]]
        assert images.shape == (1, 3, 224, 224) and labels.dtype == torch.long


def test_the_check_says_that_they_are_whole(domainbed, capsys, monkeypatch):
    name, folder = domainbed
    # The control is rendered at 224 pixels, and has no domain: its thousands of pictures are decoded elsewhere.
    suite = load_suite(name, complete=False)
    monkeypatch.setattr("taujp_core.suites.Suite.datasets", lambda self: self.tasks)
    assert main(["check", "--suite", name]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[-1] == f"All 4 data sets of {name} are there and whole, with no test image in train or validation."
    assert sum(str(folder / domain) in line for domain in suite.tasks for line in lines) == 8


def test_a_missing_domain_is_told(domainbed, capsys, monkeypatch):
    name, folder = domainbed
    monkeypatch.setattr("taujp_core.suites.Suite.datasets", lambda self: self.tasks)
    domain = SUITES[name][2][1]
    shutil.rmtree(folder / domain)
    assert main(["check", "--suite", name]) == 1
    assert f"{domain}: the folder {folder / domain} of {domain} does not exist" in capsys.readouterr().out


def test_a_class_folder_under_another_name_is_told(domainbed, capsys):
    name, folder = domainbed
    one = folder / SUITES[name][2][2] / "person"
    one.rename(one.with_name("people"))
    assert main(["check", "--suite", name]) == 1
    assert f"{one.with_name('people')} is a folder without a class" in capsys.readouterr().err
