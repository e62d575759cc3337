"""What does each sub-command do? Reads what was given, tells all that is wrong with it, calls `taujp`, and says the result."""

import argparse
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pandas as pd
import yaml

import taujp
from taujp_core.checks import first_line, one_of
from taujp_core.datasets.image_files import class_folders, part_folders, walked
from taujp_core.datasets.user_inputs import by_name, images_of, name_of, test_set
from taujp_core.files import from_home
from taujp_core.models import Clip
from taujp_core.task_vectors import TaskVector

from ..merging.merged import check_layout
from . import examples as made_up
from . import notebooks
from .mistakes import Mistakes

FIGURES = (".html", ".png", ".svg", ".pdf")


def merge(chosen: argparse.Namespace) -> None:
    clip = base(chosen)
    with Mistakes() as mistakes:
        vectors = read_vectors(chosen.checkpoints, clip, mistakes)
        images = read_pictures("images", chosen.images, clip, chosen.most, mistakes)
        control = images.pop("control", None)
        with mistakes.told():
            control = images_of("control", chosen.control, clip.image_size, chosen.most) if chosen.control else control
        with mistakes.told():
            for vector in vectors[:1]:
                check_layout(Path(chosen.output), vector)
    merged = taujp.merge(clip, vectors, images, control, output=chosen.output, most=chosen.most, rounds=chosen.rounds)
    print("Mean squared distance of the features from each expert's, on pictures that were held out:")
    say(merged.distances.set_index("set")[["pretrained", "sum", "merged"]], 1)
    print(f"The merged model is {chosen.output}; it is used as it is, with coefficient 1.")


def tau_jp(chosen: argparse.Namespace) -> None:
    clip = base(chosen)
    with Mistakes() as mistakes:
        vectors = read_vectors(chosen.checkpoints, clip, mistakes)
        images = read_pictures("images", chosen.images, clip, chosen.most, mistakes)
    print("τJp of each vector (row) on each data set (column): mean ‖J(x)τ‖₂")
    say(taujp.tau_jp(clip, vectors, images, chosen.most), 1, chosen.output)


def forecast(chosen: argparse.Namespace) -> None:
    clip = base(chosen)
    with Mistakes() as mistakes:
        vectors = read_vectors(chosen.checkpoints, clip, mistakes)
        images = read_pictures("images", chosen.images, clip, chosen.most, mistakes)
        labelled = read_tests(chosen.labelled, clip, chosen.template, mistakes) if chosen.labelled else None
        classes = {}
        with mistakes.told():
            classes = read_classes(Path(chosen.classes)) if chosen.classes else {}
    print("Normalised accuracy of each task (row): accuracy of the planned model divided by that of the task's expert")
    found = taujp.forecast(
        clip,
        vectors,
        images,
        classes,
        chosen.coefficient,
        labelled=labelled,
        templates=chosen.template,
        most=chosen.most,
    )
    say(found, 2, chosen.output)


def evaluate(chosen: argparse.Namespace) -> None:
    clip = base(chosen)
    with Mistakes() as mistakes:
        vectors = read_vectors([chosen.checkpoint], clip, mistakes) if chosen.checkpoint else []
        tests = read_tests(chosen.tests, clip, chosen.template, mistakes)
    model = vectors[0] if vectors else None
    say(taujp.evaluate(clip, model, tests, chosen.coefficient, chosen.template), 3, chosen.output)


def coefficients(chosen: argparse.Namespace) -> None:
    output = Path(chosen.output)
    one_of("kind of figure", output.suffix, FIGURES)
    clip = base(chosen)
    with Mistakes() as mistakes:
        vectors = read_vectors(chosen.checkpoints, clip, mistakes)
        tests = read_tests(chosen.tests, clip, chosen.template, mistakes)
        validation = read_tests(chosen.validation, clip, chosen.template, mistakes) if chosen.validation else None
    figure = taujp.plot_coefficients(clip, vectors, tests, validation, templates=chosen.template)
    figure.write_html(output) if output.suffix == ".html" else figure.write_image(output)
    print(f"The figure is {output}.")


def train(chosen: argparse.Namespace) -> None:
    clip = base(chosen)
    run = taujp.train(
        clip,
        chosen.data,
        chosen.others,
        chosen.method,
        store=chosen.store,
        seed=chosen.seed,
        **changes(chosen.set),
    )
    before, after = (run.record["metrics"][f"{name}validation_accuracy"] for name in ("zero_shot_", ""))
    print(f"Validation accuracy: {after:.3f}; of the pre-trained model: {before:.3f}.")
    if chosen.output:
        run.vector.save(Path(chosen.output))
    print(f"The task vector is {chosen.output or run.folder / 'vector.safetensors'}.")


def explore(chosen: argparse.Namespace) -> None:
    notebooks.explore()


def examples(chosen: argparse.Namespace) -> None:
    made_up.write_examples(Path(chosen.folder))


def lab(chosen: argparse.Namespace) -> None:
    notebooks.lab(Path(chosen.folder), chosen.allow_root)


def base(chosen: argparse.Namespace) -> Clip:
    """`ARCHITECTURE:TAG`, or what `load_clip` takes alone."""
    name, _, tag = chosen.base.partition(":")
    alone = not tag or Path(chosen.base).exists()
    return taujp.load_clip(chosen.base, device=chosen.device) if alone else taujp.load_clip(name, tag, chosen.device)


def read_vectors(paths: Sequence[str], clip: Clip, mistakes: Mistakes) -> list[TaskVector]:
    """Of files and folders, one each; or of one folder that holds them."""
    if len(paths) == 1:
        with mistakes.told():
            try:
                return [taujp.load_checkpoint(paths[0], clip)]
            except (FileNotFoundError, ValueError):
                if not holds_several(Path(paths[0])):
                    raise
            return taujp.load_checkpoints(paths[0], clip)
        return []
    found = []
    for path in paths:
        with mistakes.told():
            found.append(taujp.load_checkpoint(path, clip))
    return found


def holds_several(path: Path) -> bool:
    """A folder without weights of its own."""
    return path.is_dir() and not (path / "config.json").exists()


def read_pictures(what: str, folder: str, clip: Clip, most: int, mistakes: Mistakes) -> dict[str, object]:
    """A folder of pictures for each data set, decoded."""
    found: dict[str, object] = {}
    with mistakes.told():
        for name, path in by_name(what, folder).items():
            with mistakes.told():
                found[name] = images_of(f"{what} of {name}", path, clip.image_size, most)
    return found


def read_tests(folder: str, clip: Clip, templates: Sequence[str] | None, mistakes: Mistakes) -> dict[str, object]:
    """Class folders of one data set, or a folder that holds such folders. Each is looked through, none is decoded."""
    path, found = from_home(folder, "tests"), {}
    with mistakes.told():
        given = {name_of(path): path} if of_one_data_set(path) else by_name("tests", path)
        for name, one in given.items():
            with mistakes.told():
                test_set(name, one, clip.image_size, templates)
                found[name] = one
    return dict(found)


def read_classes(path: Path) -> dict[str, list[str]]:
    """Class names by task, of a YAML file. Raises FileNotFoundError, and ValueError for something else in it."""
    try:
        found = yaml.safe_load(path.read_text(encoding="utf-8"))
    except yaml.YAMLError as error:
        raise ValueError(f"{path} is no YAML file: {first_line(error)}") from None
    if not isinstance(found, dict) or not all(isinstance(names, list) for names in found.values()):
        raise ValueError(f"{path} must hold a list of class names for each task, as in `street: [zero, one, two]`")
    return {str(task): [str(name) for name in names] for task, names in found.items()}


def of_one_data_set(path: Path) -> bool:
    """Whether its folders hold pictures themselves, as class folders do, or are parts of a data set."""
    if not path.is_dir():
        return False
    return bool(part_folders(path)) or any(
        walked(one)[0] and not any(class_folders(one).pictures.values()) for one in path.iterdir() if one.is_dir()
    )


def changes(pairs: Sequence[str]) -> dict[str, Any]:
    """Of `NAME=VALUE`, the value as JSON reads it, or as a text."""
    found: dict[str, Any] = {}
    for pair in pairs:
        name, equals, value = pair.partition("=")
        if not equals:
            raise ValueError(f"--set takes NAME=VALUE, such as steps=500, not {pair!r}")
        try:
            found[name] = json.loads(value)
        except json.JSONDecodeError:
            found[name] = value
    return found


def say(table: pd.DataFrame, digits: int, output: Path | None = None) -> None:
    print(table.round(digits).to_string())
    if output:
        table.to_csv(output)
