"""environment.yml and pyproject.toml ask for the same packages."""

import tomllib
from pathlib import Path

import yaml

ROOT = Path(__file__).parents[2]


def test_conda_and_pip_users_get_the_same_requirements():
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    *conda, pip = yaml.safe_load((ROOT / "environment.yml").read_text())["dependencies"]
    assert f"python{project['requires-python']}" in conda
    assert "--editable ." in pip["pip"]
    listed = [line for line in pip["pip"] if not line.startswith("--")]
    assert sorted(listed) == sorted(project["dependencies"] + project["optional-dependencies"]["dev"])
