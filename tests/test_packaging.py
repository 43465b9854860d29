"""What pip is told is what the package needs: dependencies, extras, requirements.txt, data files, licence."""

import ast
import re
import sys
from pathlib import Path

import pytest

HOME = Path(__file__).resolve().parents[1]
tomllib = pytest.importorskip("tomllib")  # Python 3.11
PROJECT = tomllib.loads((HOME / "pyproject.toml").read_text())
MODULES = {"sklearn": "scikit-learn", "skimage": "scikit-image", "PIL": "pillow"}
COME_ALONG = {"IPython": "jupyterlab", "jupyter_client": "jupyterlab"}
OPTIONAL = {"pillow_heif", "pillow_jxl", "tomli"}  # used where they are installed


def names(requirements):
    return {re.match(r"[\w.-]+", line).group().lower() for line in requirements}


def imported(folder: Path) -> set[str]:
    """The outer modules that the files of a folder import."""
    found = set()
    for path in folder.rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.Import):
                found |= {alias.name.split(".")[0] for alias in node.names}
            elif isinstance(node, ast.ImportFrom) and not node.level:
                found.add(node.module.split(".")[0])
    return {MODULES.get(name, COME_ALONG.get(name, name)).lower() for name in found - set(sys.stdlib_module_names)}


def test_requirements_are_the_dependencies_and_what_notebooks_and_tests_need():
    lines = {line for line in (HOME / "requirements.txt").read_text().splitlines() if not line.startswith("-e")}
    extras = PROJECT["project"]["optional-dependencies"]
    assert lines == {*PROJECT["project"]["dependencies"], *extras["notebooks"], *extras["test"]}


def test_dependencies_are_what_the_package_imports():
    extras = PROJECT["project"]["optional-dependencies"]
    given = names(PROJECT["project"]["dependencies"])
    used = imported(HOME / "cdlearn") - {"cdlearn"} - OPTIONAL
    assert used - names(extras["notebooks"]) <= given, "imported and not declared"
    assert given <= used, "declared and not imported"
    course_only = imported(HOME / "cdlearn" / "course") | imported(HOME / "cdlearn" / "doctor")
    assert names(extras["notebooks"]) & used <= course_only, "only the course may need notebooks"


def test_files_that_are_no_code_are_packaged():
    told = PROJECT["tool"]["setuptools"]["package-data"]
    for path in (HOME / "cdlearn").rglob("*"):
        if path.is_file() and path.suffix not in (".py", ".pyc", ".md"):
            package = ".".join(path.parent.relative_to(HOME).parts)
            assert any(path.match(pattern) for pattern in told.get(package, [])), path


def test_the_licence_is_that_of_the_file():
    text = (HOME / "LICENSE").read_text()
    (author,) = PROJECT["project"]["authors"]
    assert text.startswith("MIT License") and PROJECT["project"]["license"] == "MIT" and author["name"] in text
