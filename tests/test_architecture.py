"""The house: who may import whom, how long the core and its files are, and what a command loads."""

import ast
from graphlib import TopologicalSorter
from pathlib import Path

import pytest

import cdlearn

HOME = Path(cdlearn.__file__).parent
FILES = {
    ".".join(path.relative_to(HOME.parent).with_suffix("").parts).removesuffix(".__init__"): path
    for path in HOME.rglob("*.py")
}
# Each floor may use itself and those below it. What stands on one line may use each other where no circle comes of it.
FLOORS = (
    ("runtime", "losses", "image_ops", "augment", "k_means", "tsne"),
    ("backbones",),
    ("methods",),
    ("presets",),
    ("config",),
    ("data", "checkpoint", "pretrained", "disentanglement", "mig_dci", "few_labels"),
    ("trainer", "evaluate"),
    ("results", "explain", "pages"),
    ("analysis",),
    ("course", "doctor", "estimator", "exported_tiny", "commands"),
)
COMMANDS = ("train", "compare", "report", "export", "evaluate.__main__", "doctor.__main__")
CORE = (
    "config",
    "augment",
    "backbones",
    "losses",
    "methods.cd",
    "trainer",
    "checkpoint",
    "evaluate.embedding",
    "evaluate.metrics",
)


def imports(name: str) -> set[str]:
    """The modules of cdlearn that a module imports, anywhere in its text."""
    found = set()
    for node in ast.walk(ast.parse(FILES[name].read_text())):
        if isinstance(node, ast.ImportFrom) and (node.module or "").split(".")[0] == "cdlearn":
            found |= {
                f"{node.module}.{a.name}" if f"{node.module}.{a.name}" in FILES else node.module for a in node.names
            }
        elif isinstance(node, ast.Import):
            found |= {a.name for a in node.names if a.name in FILES}
    return found - {name}


def room(name: str) -> str:
    return name.split(".")[1] if "." in name else ""


def floor(name: str) -> int:
    return next(number for number, rooms in enumerate(FLOORS) if room(name) in rooms)


def test_imports_run_in_no_circle():
    tuple(TopologicalSorter({name: imports(name) for name in FILES}).static_order())  # raises CycleError


@pytest.mark.parametrize("name", sorted(set(FILES) - {"cdlearn"}))
def test_imports_point_down(name):
    commands = {f"cdlearn.{command}" for command in COMMANDS}
    used = imports(name)
    assert not used & commands, "nobody imports a command"
    if name not in commands:
        assert {other for other in used if floor(other) > floor(name)} == set()


@pytest.mark.parametrize("name", sorted(FILES))
def test_no_import_of_ours_hides_in_a_function(name):
    """Only two import late: the doctor, because a broken torch is one of its findings, and the settings, because what
    they need of the methods loads torch, and --help must not wait for it."""
    late = [
        node
        for function in ast.walk(ast.parse(FILES[name].read_text()))
        if isinstance(function, (ast.FunctionDef, ast.AsyncFunctionDef))
        for node in ast.walk(function)
        if isinstance(node, ast.ImportFrom) and (node.module or "").startswith("cdlearn")
    ]
    assert not late or room(name) in ("doctor", "config")


def test_the_core_reads_in_one_sitting():
    lines = {name: len(FILES[f"cdlearn.{name}"].read_text().splitlines()) for name in CORE}
    assert sum(lines.values()) < 1400, lines
    for path in FILES.values():
        assert len(path.read_text().splitlines()) <= 350, path
