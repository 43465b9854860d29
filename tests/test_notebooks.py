"""The notebooks as files: in README's map, executed, free of what rots, with exercises whose solutions pass.

That they run is tested by nbval (``pytest --nbval-lax``); here is what it does not look at.
"""

import ast
import base64
import contextlib
import re

import nbformat
import pytest
from execute import HOME, NOTEBOOKS, source_hash

FILES = sorted(NOTEBOOKS.glob("*.ipynb"))
everywhere = pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
UNRUN: tuple[str, ...] = ()  # changed since their last run on the laptop preset
KINDS = ("write", "predict", "bug", "figure")  # of exercises, as tags of their cells
FEW = ("00",)  # two exercises are enough in the first hour
APPENDICES = ("04b",)  # and beside the course
run = pytest.mark.parametrize("path", [p for p in FILES if p.stem[:2] not in UNRUN], ids=lambda path: path.stem)


def code_cells(path):
    return [cell for cell in nbformat.read(path, 4).cells if cell.cell_type == "code"]


def test_the_map_of_readme_and_the_folder_name_the_same_notebooks():
    linked = re.findall(r"\(notebooks/(\w+\.ipynb)\)", (HOME / "README.md").read_text())
    assert sorted(set(linked)) == [path.name for path in FILES]
    numbers = [path.stem.split("_")[0] for path in FILES]  # 04b is an appendix of 04
    assert numbers == sorted(set(numbers)) and numbers[0] == "00"


@everywhere
def test_no_magics_and_no_shell_lines(path):
    for cell in code_cells(path):
        assert not re.search(r"^\s*[%!]|get_ipython", cell.source, re.MULTILINE), cell.source


@run
def test_every_cell_was_run_without_an_error_in_order(path):
    cells = [cell for cell in code_cells(path) if cell.source.strip()]
    assert [cell.execution_count for cell in cells] == list(range(1, len(cells) + 1))
    for cell in cells:
        assert all(output.output_type != "error" for output in cell.outputs)
        for output in cell.outputs:
            assert output.get("execution_count", 1) is not None
            assert output.get("name") != "stderr", output.get("text")


@run
def test_outputs_came_from_the_code_that_is_stored(path):
    notebook = nbformat.read(path, 4)
    about = notebook.metadata["cdlearn"]
    assert about["source"] == source_hash(notebook), "run tests/execute.py on it again"
    assert about["preset"] != "smoke", "outputs are to come from the laptop or the gpu preset"
    assert notebook.metadata["kernelspec"]["name"] == "python3"


@run
def test_the_time_stated_is_the_time_measured_and_short(path):
    notebook = nbformat.read(path, 4)
    about = notebook.metadata["cdlearn"]
    assert f"**Time:** {about['seconds']} s" in notebook.cells[0].source
    limit = 480 if path.stem[:2] in ("05", "07", "09") else 300
    # on a busy machine a run takes longer than its own work: then two cores' share of that counts
    assert min(about["seconds"], about.get("processor seconds", 2 * limit) / 2) < limit


@run
def test_figures_are_small_and_there_is_one(path):
    images = [
        o["data"]["image/png"] for cell in code_cells(path) for o in cell.outputs if "image/png" in o.get("data", {})
    ]
    assert images
    assert all(len(base64.b64decode(image)) < 150_000 for image in images)


@run
def test_every_stored_figure_says_in_words_what_it_shows(path):
    for cell in code_cells(path):
        for output in cell.outputs:
            if "image/png" in output.get("data", {}):
                about = output.metadata.get("image/png", {})
                assert len(about.get("alt", "")) > 10 and about.get("width", 0) > 100, (about, cell.source)


def exercises(path):
    """(stub, its kind, the code of its solution) of every exercise; the solution lies folded in the text below it."""
    found, cells = [], nbformat.read(path, 4).cells
    for place, cell in enumerate(cells):
        tags = cell.metadata.get("tags", [])
        if "exercise" in tags:
            below = next(c.source for c in cells[place + 1 :] if c.cell_type == "markdown")
            folded = re.findall(r"<summary>Solution</summary>\n\n```python\n(.*?)\n```\n\n</details>", below, re.DOTALL)
            assert len(folded) == 1, f"one folded solution right below {cell.source!r}"
            found.append((cell, *(set(tags) & set(KINDS)), folded[0]))
    return found


def definitions(path):
    """What a notebook imports, defines and asks to predict, without running the rest, and without what needs that."""
    names, kept = {}, (ast.Import, ast.ImportFrom, ast.FunctionDef, ast.ClassDef)
    for cell in code_cells(path):
        tags = cell.metadata.get("tags", [])
        if "exercise" not in tags:
            for node in ast.parse(cell.source).body:
                with contextlib.suppress(NameError):  # a default such as images.images
                    exec(ast.unparse(node) if isinstance(node, kept) or "prediction" in tags else "", names)
    return names


@everywhere
def test_every_solution_is_right_and_every_stub_is_not_solved(path):
    names = definitions(path)
    for cell, kind, solution in exercises(path):
        *stub, check = ast.parse(cell.source).body
        for code, solved in ((ast.unparse(ast.Module(stub, [])), None), (solution, True)):
            exec(code, names)
            checker, answer = (names[word.id] for word in (check.value.func, check.value.args[0]))
            verdict = checker(answer, checker.typical) if kind == "predict" else checker(answer)
            assert verdict.solved is solved, (check.value.func.id, verdict)


@run
def test_no_praise_is_stored_under_a_stub(path):
    for cell, _, _ in exercises(path):
        shown = "".join(str(output.get("data", {}).get("text/plain", "")) for output in cell.outputs)
        assert "○ not solved yet" in shown


@everywhere
def test_exercises_are_of_several_kinds(path):
    kinds = [kind for _, kind, _ in exercises(path)]
    assert len(kinds) >= 2
    if path.stem[:2] not in FEW and path.stem.partition("_")[0] not in APPENDICES:
        assert set(kinds) == set(KINDS), f"{path.name} lacks {set(KINDS) - set(kinds)}"


@everywhere
def test_no_cell_is_longer_than_a_screen(path):
    for cell in code_cells(path):
        assert len(cell.source.splitlines()) <= 25, cell.source


@everywhere
def test_links_to_other_notebooks_and_figures_lead_somewhere(path):
    for cell in nbformat.read(path, 4).cells:
        if cell.cell_type == "markdown":
            for target in re.findall(r"\]\(([^)#:]+\.(?:ipynb|png|py|md|csv))\)", cell.source):
                assert (path.parent / target).exists(), f"{path.name} links to {target}"
