"""Run notebooks from top to bottom and store what they show: ``python tests/execute.py [notebooks/04_….ipynb …]``.

Each is run on the laptop preset (or on CDLEARN_PRESET) without what earlier ones left in runs/course, so that the time
stored in its first cell ("Time: …") is that of a reader who opens it alone. With the outputs goes a hash of the code
that they came from, which tests/test_notebooks.py compares with the code on disk. On a processor with AMX or AVX-512,
ATEN_CPU_CAPABILITY=avx2 ONEDNN_MAX_CPU_ISA=AVX2 in the environment gives the times of an ordinary laptop.

Every sentence that a notebook asserted (course.claim) stands in figures/claims.csv with its numbers, the comparison it
is about and the verdict. ``--claims`` collects them from the stored outputs, without running anything.
"""

import argparse
import csv
import hashlib
import os
import platform
import re
import resource
import shutil
import time
from pathlib import Path

import nbformat
from nbclient import NotebookClient

from cdlearn.results.compare_seeds import VERDICTS
from cdlearn.runtime.devices import cpu_kind

HOME = Path(__file__).resolve().parent.parent
NOTEBOOKS = HOME / "notebooks"
CLAIMS = HOME / "figures" / "claims.csv"
CLAIM = re.compile(r"^✓ (?P<sentence>.+?)(?: \[(?P<about>[^\]]+): (?P<verdict>" + "|".join(VERDICTS) + r")\])?$")
NUMBER = re.compile(r"(?<![\w.])[+−-]?\d[\d,]*(?:\.\d+)?%?(?![\w])")
WIDGET = "application/vnd.jupyter.widget-view+json"  # a slider is nothing without the kernel that made it
TIME = re.compile(r"^\*\*Time:?\*\*.*$", re.MULTILINE)


def source_hash(notebook: nbformat.NotebookNode) -> str:
    """Of the code cells, in order: changes with any of them. Prose may change without another run."""
    code = "\n# ---\n".join(cell.source for cell in notebook.cells if cell.cell_type == "code")
    return hashlib.sha256(code.encode()).hexdigest()


def processor_seconds() -> float:
    """What kernels have used of the processor's cores so far, once they have ended: whatever else the machine did."""
    ended = resource.getrusage(resource.RUSAGE_CHILDREN)
    return ended.ru_utime + ended.ru_stime


def execute(path: Path) -> float:
    """Run one notebook in place; returns the seconds it took. An error in a cell leaves the file as it was."""
    notebook = nbformat.read(path, 4)
    preset = os.environ.setdefault("CDLEARN_PRESET", "laptop")
    shutil.rmtree(HOME / "runs" / "course", ignore_errors=True)
    began, used = time.monotonic(), processor_seconds()
    NotebookClient(
        notebook, timeout=900, kernel_name="python3", resources={"metadata": {"path": path.parent}}
    ).execute()
    seconds, used = time.monotonic() - began, processor_seconds() - used
    notebook.metadata.pop("widgets", None)
    for cell in notebook.cells:
        cell.metadata.pop("execution", None)
        if cell.cell_type != "code":
            continue
        cell.outputs = [output for output in cell.get("outputs", []) if WIDGET not in output.get("data", {})]
        for output in cell.outputs:  # a picture keeps its width and alternative text
            kept = {kind: of for kind, of in output.get("metadata", {}).items() if kind.startswith("image/")}
            if "metadata" in output:
                output.metadata = nbformat.from_dict(kept)
    first = notebook.cells[0]
    where = f"{os.cpu_count()} CPU cores ({cpu_kind()})" if preset == "laptop" else preset
    stated = f"**Time:** {seconds:.0f} s from top to bottom, measured on {where} ({preset} preset); "
    stated += "on a GPU not yet measured."
    first.source = TIME.sub(stated, first.source)
    notebook.metadata = nbformat.from_dict(
        {
            "kernelspec": {"display_name": "Python 3", "language": "python", "name": "python3"},
            "language_info": {"name": "python"},
            "cdlearn": {
                "source": source_hash(notebook),
                "preset": preset,
                "seconds": round(seconds),
                "processor seconds": round(used),
                "processor": cpu_kind(),
                "python": platform.python_version(),
            },
        }
    )
    nbformat.write(notebook, path)
    return seconds


def claims_of(notebook: nbformat.NotebookNode, name: str) -> list[dict]:
    """What a notebook asserted when it was last run: a row per sentence, from its stored outputs."""
    rows = []
    for number, cell in enumerate(notebook.cells):
        printed = [o.text for o in cell.get("outputs", []) if o.output_type == "stream" and o.name == "stdout"]
        for line in "".join(printed).splitlines():
            if found := CLAIM.match(line):
                numbers = " ".join(NUMBER.findall(found["sentence"]))
                rows.append({"notebook": name, "cell": number, **found.groupdict(default=""), "numbers": numbers})
    return rows


def collect_claims(path: Path = CLAIMS, notebooks: Path = NOTEBOOKS) -> list[dict]:
    """Write the claims of all notebooks, in order, and return them."""
    files = sorted(notebooks.glob("*.ipynb"))
    rows = [row for file in files for row in claims_of(nbformat.read(file, 4), file.stem)]
    with path.open("w", newline="") as file:
        columns = ["notebook", "cell", "about", "verdict", "numbers", "sentence"]
        writer = csv.DictWriter(file, columns, lineterminator="\n")
        writer.writeheader()
        writer.writerows(rows)
    return rows


def contradictions(rows: list[dict]) -> list[str]:
    """Comparisons about which two claims have different verdicts, one line each that names both."""
    first, found = {}, []
    for row in rows:
        if row["about"]:
            other = first.setdefault(row["about"], row)
            if other["verdict"] != row["verdict"]:
                places = (f"{r['notebook']} cell {r['cell']}: {r['verdict']}" for r in (other, row))
                found.append(f"{row['about']}: {', but '.join(places)}")
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("notebooks", nargs="*", type=Path)
    parser.add_argument("--claims", action="store_true", help="only collect figures/claims.csv from stored outputs")
    asked = parser.parse_args()
    for path in [] if asked.claims else asked.notebooks or sorted(NOTEBOOKS.glob("*.ipynb")):
        print(f"{path.name}: {execute(path.resolve()):.0f} s", flush=True)
    rows = collect_claims()
    print(
        f"{CLAIMS.relative_to(HOME)}: {len(rows)} claims, {sum(bool(row['about']) for row in rows)} name a comparison"
    )
    for line in contradictions(rows):
        print(f"contradiction: {line}")


if __name__ == "__main__":
    main()
