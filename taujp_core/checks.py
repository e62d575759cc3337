"""Is a value what it should be? Checks that know nothing of CLIP, tasks and vectors; each answers in one sentence."""

from collections.abc import Mapping
from dataclasses import fields


def check_keys(what: str, entry: Mapping, accepted) -> None:
    unknown = [key for key in entry if key not in accepted]
    if unknown:
        raise ValueError(f"{what} has the unknown key {unknown[0]!r}: accepted are {', '.join(accepted)}")


def options(what: str, value: object, kind: type, first: str) -> dict[str, str]:
    """Fields of `kind` from a mapping, or the first of them alone."""
    if not isinstance(value, Mapping):
        return {first: text(what, value)}
    check_keys(what, value, [field.name for field in fields(kind)])
    if first not in value:
        raise ValueError(f"{what} is without {first}")
    return {key: text(f"{key} of {what}", item) for key, item in value.items()}


def text(what: str, value: object) -> str:
    if not isinstance(value, str) or not value:
        raise TypeError(f"{what} must be a text, not {value!r}")
    return value
