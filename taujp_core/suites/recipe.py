"""Which numbers make a recipe, and which of them are accepted?

A recipe is a dict of hyper-parameters by the names of RECIPE: a suite's, or changes to it. Beside them it may have
parameters of single methods (`methods/`), `epochs` in place of `steps`, a `peak_lr` by method, and under `methods`, by
method, what is otherwise for it.
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass

from ..checks import check_keys, check_not_negative, one_of
from ..methods import METHODS, Parameter
from ..products.precision import PRECISIONS


@dataclass(frozen=True)
class Number:
    """What it is, its type, the least and the most that are accepted, and its default; None: a suite has to say it.

    A method's parameter may be one of the `accepted` words instead.
    """

    says: str
    kind: type = float
    least: int | float = 0
    most: int | float = math.inf
    default: int | float | None = None
    accepted: tuple[str, ...] = ()


RECIPE = {
    "steps": Number("steps of the optimiser", int, 1),
    "batch_size": Number("images of the task per step", int, 1),
    "peak_lr": Number("learning rate after the warm-up"),
    "weight_decay": Number("AdamW's, of τ"),
    "warmup_steps": Number("steps of linear warm-up", int),
    "clip_norm": Number("norm that the gradient is cut to"),
    "penalty_weight": Number("λ of the τJp penalty"),
    "penalty_batch_size": Number("images of each penalised data set per step", int),
    "penalty_start": Number("first step with the penalty", int, default=0),
    "penalty_reservoir": Number("images kept of each penalised data set but the control; 0: all", int, default=0),
    "accumulation": Number("parts that a step's batch is computed in", int, 1, default=1),
    "least_crop": Number("share of a picture's area that a random crop has at least; 1: whole pictures", most=1),
}


def number_of(parameter: Parameter) -> Number:
    """What is accepted for a parameter that only a method has."""
    return Number("", type(parameter.default), parameter.least, parameter.most, accepted=parameter.accepted)


def check_recipe(recipe: Mapping) -> None:
    """Of a suite. Raises ValueError or TypeError for unknown keys, and for values that are not accepted."""
    of_methods = {name: one for method in METHODS.values() for name, one in method.parameters.items()}
    check_keys("the recipe", recipe, [*sorted({*RECIPE, "precision", *of_methods}), "epochs", "methods"])
    by_method = recipe.get("methods", {})
    if not (isinstance(by_method, Mapping) and all(isinstance(own, Mapping) for own in by_method.values())):
        raise TypeError(f"methods of the recipe must be mappings by method, not {by_method!r}")
    for name, own in by_method.items():
        trained = METHODS[one_of("method of the recipe", name, METHODS)].vector_of
        if trained:
            raise ValueError(f"{name} applies the vectors of {trained}: methods of the recipe must say {trained}")
        check_keys(f"the recipe of {name}", own, sorted({*RECIPE, "precision", *METHODS[name].parameters}))
        check_recipe(own)
    for key, value in recipe.items():
        if key == "methods":
            continue
        words = PRECISIONS if key == "precision" else of_methods[key].accepted if key in of_methods else ()
        if words:
            one_of(f"{key} of the recipe", value, words)
            continue
        several = key in ("peak_lr", "epochs") and isinstance(value, Mapping)
        for number in value.values() if several else [value]:
            if isinstance(number, bool) or not isinstance(number, int | float):
                hint = " (YAML reads 1.0e-5 as a number, 1e-5 as a text)" if isinstance(number, str) else ""
                raise TypeError(f"{key} of the recipe must be a number, not {number!r}{hint}")
            known = RECIPE.get(key) or (Number("", most=of_methods[key].most) if key in of_methods else Number(""))
            checked(f"{key} of the recipe", number, known)


def checked(name: str, value: object, number: Number) -> int | float | str:
    """The value, as a float where whole numbers are not asked for. Raises TypeError or ValueError if it is not accepted."""
    if number.accepted:
        return one_of(name, value, number.accepted)  # type: ignore[return-value]
    accepted, what = (int, "an integer") if number.kind is int else (int | float, "a number")
    if isinstance(value, bool) or not isinstance(value, accepted):
        raise TypeError(f"{name} must be {what}, not {value!r}")
    if number.kind is float:
        check_not_negative(**{name: value})
    if value < number.least:
        raise ValueError(f"{name} must be at least {number.least:g}, not {value}")
    if value > number.most:
        raise ValueError(f"{name} must be at most {number.most:g}, not {value}")
    return number.kind(value)
