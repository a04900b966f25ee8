"""The first code cell of each notebook, on an imitated Colab or Kaggle: it makes lesionkit importable and keeps torch and NumPy."""

import json
import os
import re
import shutil
import subprocess
import sys
import sysconfig
import venv
from importlib import metadata
from pathlib import Path

import nbformat
import pytest

from lesionkit import REPOSITORY
from lesionkit.settings import SEVEN
from lesionkit.workbook import hosts

PROJECT = Path(__file__).parents[1]
GUIDE = (PROJECT / "lesionkit" / "guides" / "kaggle.md").read_text(encoding="utf-8")
NOTEBOOKS = sorted((PROJECT / "notebooks").glob("*.ipynb"))
SETUP = nbformat.read(NOTEBOOKS[0], as_version=4).cells[1]
KAGGLE, COLAB = {"KAGGLE_KERNEL_RUN_TYPE": "Interactive"}, {"COLAB_RELEASE_TAG": "release-colab_20260716"}
FAKE_PIP = "import json, os, sys\njson.dump(sys.argv[1:], open(os.environ['ASKED'], 'w'))\nsys.exit(int(os.environ['ENDS']))\n"
THEIRS = {"numpy": "2.0.2", "torch": "2.11.0+cu128", "torchvision": "0.26.0+cu128"}
PINS = [f"{name}=={version}" for name, version in THEIRS.items()]
NOBODY = {"PIP_INDEX_URL": "http://127.0.0.1:9/simple", "PIP_CONFIG_FILE": os.devnull, "NO_PROXY": "*", "no_proxy": "*"}  # answers
NOT_A_HOST_S = ("PYTHONPATH", "PIP_NO_INDEX", "PIP_EXTRA_INDEX_URL", "PIP_FIND_LINKS")  # what this machine may have set


def write(file: Path, text: str = "") -> Path:
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(text)
    return file


@pytest.fixture
def bare(tmp_path):
    """A Python without lesionkit, with the host's torch and NumPy, and a pip that only notes what it is asked."""
    venv.create(tmp_path / "venv", with_pip=False, symlinks=True)
    site = next((tmp_path / "venv").glob("lib/python*/site-packages"))
    for name, version in THEIRS.items():
        write(site / name / "__init__.py")
        write(site / f"{name}-{version}.dist-info" / "METADATA", f"Name: {name}\nVersion: {version}\n")
    write(site / "pip" / "__main__.py", FAKE_PIP)
    return tmp_path / "venv" / "bin" / "python"


def run(python: Path, root: Path, host: dict, then: str = "", **more: str) -> tuple[subprocess.CompletedProcess, list[str]]:
    """Run the cell as if `root` were /, and `then` after it. Returns the process, and what pip was asked."""
    source = SETUP.source.replace('"/', f'"{root}/')
    asked = root / "asked.json"
    names = {name for names in hosts.VARIABLES.values() for name in names} | {*NOT_A_HOST_S}
    clean = {name: value for name, value in os.environ.items() if name not in names}
    (root / "working").mkdir(parents=True, exist_ok=True)
    done = subprocess.run([python, "-c", f"{source}\n{then}"], cwd=root / "working", capture_output=True, text=True,
                          env=clean | {"ASKED": str(asked), "ENDS": "0"} | host | more)  # fmt: skip
    return done, json.loads(asked.read_text()) if asked.exists() else []


def project(folder: Path, needs: str = "fastai>=2.8,<3") -> Path:
    """A copy of the repository, as far as the cell looks at it."""
    write(folder / "pyproject.toml", f'[project]\nname = "lesionkit"\ndependencies = ["{needs}"]\n')
    write(folder / "lesionkit" / "studies" / "demo.toml")
    write(folder / "lesionkit" / "__init__.py", "HERE = True\n")
    return folder


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_each_notebook_begins_with_it_and_with_badges_that_lead_to_this_notebook(path):
    cells = nbformat.read(path, as_version=4).cells
    assert (cells[1].source, cells[1].metadata) == (SETUP.source, SETUP.metadata)
    file = f"blob/main/notebooks/{path.name}"
    colab = REPOSITORY.replace("https://github.com/", "https://colab.research.google.com/github/")
    assert f"({colab}/{file})" in cells[0].source
    assert f"(https://kaggle.com/kernels/welcome?src={REPOSITORY}/{file})" in cells[0].source


def test_the_repository_s_address_and_the_variables_are_the_package_s():
    assert f'"git+{REPOSITORY}"' in SETUP.source
    for host, variables in (("Kaggle", KAGGLE), ("Colab", COLAB)):
        assert all(name in SETUP.source and name in hosts.VARIABLES[host] for name in variables)


def test_no_other_address_stands_in_what_is_read_first():
    files = [PROJECT / "README.md", PROJECT / "pyproject.toml", *(PROJECT / "lesionkit" / "guides").glob("*.md")]
    found = {address for file in files for address in re.findall(r"github(?:\.com)?/(\w[\w.-]*/lesionkit)\b", file.read_text())}
    assert found == {REPOSITORY.removeprefix("https://github.com/")}


def test_the_command_runs_from_a_folder_that_is_not_installed(tmp_path):
    done = subprocess.run([sys.executable, "-m", "lesionkit", "--version"], cwd=tmp_path, capture_output=True, text=True,
                          env=os.environ | {"PYTHONPATH": str(PROJECT)})  # fmt: skip
    assert done.stdout.startswith("lesionkit "), done.stderr


@pytest.mark.parametrize("host", [KAGGLE, COLAB], ids=["Kaggle", "Colab"])
def test_with_the_internet_it_comes_from_the_repository_and_their_versions_are_kept(bare, tmp_path, host):
    done, asked = run(bare, tmp_path, host)
    assert done.returncode == 0, done.stderr
    assert asked[0] == "install" and asked[-4:] == [f"git+{REPOSITORY}", *PINS]
    assert REPOSITORY in done.stdout


def test_elsewhere_it_does_nothing(bare, tmp_path):
    done, asked = run(bare, tmp_path, {})
    assert (done.returncode, done.stdout, done.stderr, asked) == (0, "", "", [])


def test_where_the_package_is_installed_it_does_nothing(bare, tmp_path):
    done, asked = run(bare, tmp_path, KAGGLE, PYTHONPATH=str(PROJECT))
    assert (done.returncode, done.stdout, done.stderr, asked) == (0, "", "", [])


@pytest.mark.parametrize(
    "host, place",
    [
        (KAGGLE, "kaggle/input/wheels"),
        (KAGGLE, "kaggle/input/datasets/someone/wheels"),
        (KAGGLE, "kaggle/input/datasets/someone/wheels/dist"),
        (COLAB, "content"),
        (COLAB, "content/drive/MyDrive/lesionkit"),
    ],
)
def test_an_attached_wheel_is_installed_with_the_wheels_beside_it(bare, tmp_path, host, place):
    wheel = write(tmp_path / place / "lesionkit-0.1.0-py3-none-any.whl")
    project(tmp_path / "kaggle/input/folder")  # a wheel is as good, and comes first
    done, asked = run(bare, tmp_path, host)
    assert done.returncode == 0, done.stderr
    assert asked[-5:] == [str(wheel), f"--find-links={wheel.parent}", *PINS]


@pytest.mark.parametrize(
    "host, place",
    [
        (KAGGLE, "kaggle/input/lesionkit"),
        (KAGGLE, "kaggle/input/datasets/someone/code/lesionkit-main"),
        (COLAB, "content/lesionkit"),
    ],
)
def test_an_attached_folder_is_used_where_it_lies_also_by_processes_that_start_later(bare, tmp_path, host, place):
    folder = project(tmp_path / place)
    write(tmp_path / "kaggle/input/other/pyproject.toml", "not ours")
    then = "import lesionkit\nprint(lesionkit.__file__)\nsubprocess.check_call([sys.executable, '-c', 'import lesionkit; lesionkit.HERE'])"
    before = sorted(folder.rglob("*.toml"))
    done, asked = run(bare, tmp_path, host, then)
    assert done.returncode == 0, done.stderr
    assert str(folder / "lesionkit" / "__init__.py") in done.stdout
    assert asked[-5:] == ["fastai>=2.8,<3", f"--find-links={folder}", *PINS]
    assert sorted(folder.rglob("*.toml")) == before and not list(folder.glob("*.egg-info"))  # it may be read-only


def test_a_clone_in_the_working_folder_is_not_taken_for_the_package(bare, tmp_path):
    write(tmp_path / "working" / "lesionkit" / "README.md")  # Python sees a namespace package called lesionkit
    _, asked = run(bare, tmp_path, KAGGLE)
    assert f"git+{REPOSITORY}" in asked


def test_a_pip_that_fails_stops_the_notebook(bare, tmp_path):
    done, _ = run(bare, tmp_path, KAGGLE, "print('went on')", ENDS="1")
    assert done.returncode and "went on" not in done.stdout and "CalledProcessError" in done.stderr


def test_the_guide_names_what_is_there():
    wheels, weights, *_ = re.findall(r"```python\n(.*?)```", GUIDE, re.S)
    assert f'"git+{REPOSITORY}"' in wheels and all(f'"{name}"' in SETUP.source and f'"{name}"' in wheels for name in THEIRS)
    assert [f'"{name}"' in weights for name in SEVEN] == [name != "baseline_cnn" for name in SEVEN]
    code = "".join((PROJECT / "lesionkit" / "workbook" / name).read_text() for name in ("artifacts.py", "hosts.py"))
    assert all(line in GUIDE and line in code for line in ("needs a folder of images", "No GPU, so training is slow", hosts.OUTLINES))


# ---- with a real pip, and an index that nobody answers for, as without internet


@pytest.fixture
def offline(tmp_path):
    """A Python that has all of this one's packages but lesionkit, as a host's has, and no internet."""
    pytest.importorskip("pip")
    venv.create(tmp_path / "venv", with_pip=False, symlinks=True)
    site = next((tmp_path / "venv").glob("lib/python*/site-packages"))
    write(site / "shared.pth", sysconfig.get_path("purelib"))  # an editable lesionkit there is not followed
    return tmp_path / "venv" / "bin" / "python"


@pytest.mark.slow
def test_what_the_guide_collects_is_installed_without_the_internet(offline, tmp_path):
    """The guide's first cell, on a copy of the repository, makes the wheels; the notebooks' first cell installs them."""
    if not (found := [d.version for d in metadata.distributions(name="setuptools")]) or int(found[0].split(".")[0]) < 77:
        pytest.skip("setuptools 77 builds wheels of lesionkit")
    source, attached = tmp_path / "source", tmp_path / "kaggle/input/notebooks/me/lesionkit-offline"
    shutil.copytree(PROJECT / "lesionkit", source / "lesionkit", ignore=shutil.ignore_patterns("__pycache__"))
    for name in ("pyproject.toml", "README.md", "LICENSE"):
        shutil.copy(PROJECT / name, source)
    init = source / "lesionkit" / "__init__.py"
    init.write_text(init.read_text().replace("0.1.0", "0.1.1"))  # else pip takes an editable one for it
    cell = re.search(r"```python\n(.*?)```", GUIDE, re.S)[1]
    attached.mkdir(parents=True)
    alone = {"PIP_NO_INDEX": "1", "PIP_NO_BUILD_ISOLATION": "0"}  # 0 means: without isolation
    subprocess.run([sys.executable, "-c", cell.replace(f"git+{REPOSITORY}", str(source))], cwd=attached, check=True,
                   env=os.environ | alone)  # fmt: skip
    then = "from lesionkit.workbook.artifacts import Run\nimport lesionkit, numpy\nprint(lesionkit.__file__, numpy.__file__)"
    done, _ = run(offline, tmp_path, KAGGLE, then, **NOBODY)
    assert done.returncode == 0, done.stderr
    assert str(attached / "wheels" / "lesionkit-0.1.1") in done.stdout
    ours, theirs = done.stdout.split()[-2:]
    assert Path(ours).is_relative_to(tmp_path / "venv") and Path(theirs).is_relative_to(sysconfig.get_path("purelib"))


def test_a_folder_whose_needs_are_met_works_without_the_internet(offline, tmp_path):
    folder = project(tmp_path / "kaggle/input/lesionkit", needs="numpy>=1.26")
    done, _ = run(offline, tmp_path, KAGGLE, "import lesionkit; print(lesionkit.__file__)", **NOBODY)
    assert done.returncode == 0 and str(folder / "lesionkit" / "__init__.py") in done.stdout, done.stderr


def test_pip_fails_rather_than_replace_numpy(offline, tmp_path):
    project(tmp_path / "kaggle/input/lesionkit", needs="numpy>99")
    done, _ = run(offline, tmp_path, KAGGLE, **NOBODY)
    assert done.returncode and "CalledProcessError" in done.stderr and "numpy" in done.stderr
