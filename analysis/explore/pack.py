"""What does a browser need to answer by itself? Numbers as one block of bytes, and all else as JSON."""

import base64
import io
import math
from collections.abc import Sequence

import numpy as np
import plotly.express as px
from jaxtyping import UInt8
from PIL import Image
from torch import Tensor
from torchvision.transforms.functional import to_pil_image

from taujp_core.methods import find_method

from ..drawing import COLOUR_SCALE
from ..expected_accuracy import TEMPERATURE, shipped
from ..palette import task_symbols
from .answers import HIGHEST, LOWEST, MAP, STEP, Answers
from .gather import Explorer, shown_pictures

LARGEST_PICTURE = 96  # pixels of a side


def packed(explorer: Explorer, images: int | None = None) -> tuple[dict, bytes]:
    """(texts and small tables, numbers) for explore.js; of each task the first `images` images, all of them for None.

    Numbers are float32, little-endian: for each method and task the numerators [1 + T, n, classes], then the Gram
    matrices [n, 1 + T, 1 + T].
    """
    answers = [each.first(images) if images else each for each in explorer.answers]
    symbols = task_symbols(list(explorer.colours))
    calibration, _ = shipped()
    numbers = [
        tensor.numpy().astype("<f4").tobytes()
        for each in answers
        for projected in each.images
        for tensor in (projected.numerators, projected.gram)
    ]
    return {
        "range": {"lowest": LOWEST, "highest": HIGHEST, "step": STEP},
        "map": list(MAP),
        "colourscale": px.colors.get_colorscale(COLOUR_SCALE),  # plotly.js has another of this name
        "forecast": {**calibration.shown(), "temperature": TEMPERATURE, "elsewhere": explorer.elsewhere},
        "missing": list(explorer.missing),
        "without": list(explorer.without),
        "start": first_shown(answers),
        "tasks": [
            {
                "name": task.name,
                "classes": list(task.classes),
                "colour": explorer.colours[task.name],
                "symbol": symbols[task.name],
                "labels": answers[0].images[place].labels.tolist() if answers else [],
            }
            for place, task in enumerate(explorer.tasks)
        ],
        "methods": [described(each, explorer) for each in answers],
    }, b"".join(numbers)


def first_shown(answers: Sequence[Answers]) -> int:
    """The first method with the τJp penalty, which is what a reader comes for; else the first."""
    penalised = [place for place, each in enumerate(answers) if find_method(each.method).penalised]
    return (penalised or [0])[0]


def described(answers: Answers, explorer: Explorer) -> dict:
    curve = answers.curve()
    return {
        "name": answers.method,
        "tuned": answers.tuned,
        "optimum": list(answers.optimum),
        "marks": answers.marks().to_dict("list"),
        "curve": {"coefficient": list(curve.index), "tasks": curve.T.to_numpy().tolist()},
        "pictures": [
            {"task": task, "image": image, "data": data_url(explorer.pictures[task, image])}
            for task, image in shown_pictures(answers)
            if (task, image) in explorer.pictures
        ],
    }


def data_url(image: UInt8[Tensor, "3 h w"]) -> str:
    picture = to_pil_image(image)
    picture.thumbnail((LARGEST_PICTURE, LARGEST_PICTURE), Image.Resampling.BICUBIC)
    file = io.BytesIO()
    picture.save(file, "PNG")
    return f"data:image/png;base64,{base64.b64encode(file.getvalue()).decode()}"


def unpacked(description: dict, numbers: bytes) -> list[list[tuple[np.ndarray, np.ndarray]]]:
    """By method and task, (numerators, Gram matrices): what explore.js reads."""
    values, place, vectors = np.frombuffer(numbers, "<f4"), 0, 1 + len(description["tasks"])

    def take(*shape: int) -> np.ndarray:
        nonlocal place
        begin, place = place, place + math.prod(shape)
        return values[begin:place].reshape(shape)

    found = []
    for _ in description["methods"]:
        found.append([])
        for task in description["tasks"]:
            n = len(task["labels"])
            found[-1].append((take(vectors, n, len(task["classes"])), take(n, vectors, vectors)))
    return found
