"""The list of planted faults is of the code as it is: a fault that finds no place would plant nothing."""

from pathlib import Path

import pytest
from plant_faults import FAULTS

ROOT = Path(__file__).parents[2]


@pytest.mark.parametrize(("file", "sound", "broken", "tests"), FAULTS)
def test_a_fault_has_its_place(file, sound, broken, tests):
    assert (ROOT / file).read_text(encoding="utf-8").count(sound) == 1
    assert broken != sound
    names = [name for name in tests.split(" -k ")[0].split() if not name.startswith("-")]
    assert names and all((ROOT / "tests" / name).exists() for name in names)
