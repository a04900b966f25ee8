"""One list of dependencies: pyproject.toml, environment.yml and constraints.txt agree."""

import re
import tomllib
from pathlib import Path

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

ROOT = Path(__file__).parents[1]
OTHERS = {"energy", "mlflow", "trackio", "wandb"}  # for who wants them: neither installed by `make` nor pinned


def declared():
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    extras = [r for name, group in project["optional-dependencies"].items() if name not in OTHERS for r in group]
    return {str(Requirement(r)) for r in project["dependencies"] + extras}


def pinned():
    lines = [line for line in (ROOT / "constraints.txt").read_text().splitlines() if line and not line.startswith("#")]
    return {canonicalize_name(r.name): r for r in map(Requirement, lines)}


def test_conda_users_get_the_same_requirements():
    listed = re.findall(r'^ {6}- "([^-].*)"$', (ROOT / "environment.yml").read_text(), re.M)
    assert {str(Requirement(r)) for r in listed} == declared() and len(listed) == len(declared())


def test_every_requirement_is_pinned_to_a_version_that_it_allows():
    pins = pinned()
    for requirement in map(Requirement, declared()):
        (pin,) = pins[canonicalize_name(requirement.name)].specifier
        assert pin.operator == "==" and requirement.specifier.contains(pin.version), f"{requirement} is pinned to {pin}"


def test_the_python_versions_agree():
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    assert f"- python{project['requires-python']}\n" in (ROOT / "environment.yml").read_text()
