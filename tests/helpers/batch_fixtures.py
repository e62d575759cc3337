"""A folder for studies, whose kernels start at once."""

import pytest
from drivers import Place, place_in

COUNTING = (
    "number: int = 0  # what is squared\nwaits: bool = False  # for a file `go`\nfails: bool = False  # in the end",
    "import os, pathlib, time\nhome = pathlib.Path(os.environ['TAUJP_HOME'])\n"
    "with (home / 'begun.txt').open('a') as file:\n    print(number, file=file)",
    "while waits and not pathlib.Path(os.environ['GO']).exists():\n    time.sleep(0.02)",
    "assert not fails, 'as it was told'\nprint(number**2)",
)


@pytest.fixture
def place(tmp_path):
    with place_in(tmp_path, quick_workers=True) as place:
        place.environment["SLOW_WORKERS"] = place.environment.pop("QUICK_WORKERS")
        yield place


@pytest.fixture
def quick_workers(place):
    """Workers are forked, too, for tests in which many start."""
    place.environment["QUICK_WORKERS"] = place.environment.pop("SLOW_WORKERS")


@pytest.fixture
def here(place, monkeypatch) -> Place:
    """The same, for studies that run in this process."""
    for name, value in place.environment.items():
        monkeypatch.setenv(name, value)
    return place


@pytest.fixture
def counting(place):
    """Entries of a study: a notebook that notes when it begins, and may wait, or fail."""
    name = place.notebook("counting", *COUNTING)
    return lambda *numbers, **others: [
        {"notebook": name, "parameters": {"number": number, **others}} for number in numbers
    ]
