"""What the doctor finds: each check takes what was seen and returns findings. Nothing is asked or printed here.

The standard library is all that is imported, because a missing or broken package is what these checks are to name.
"""

from __future__ import annotations

import re
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from cdlearn.doctor.machine import readable_bytes

IMPORTED = {  # distribution: module, of all that a training run imports; the others are for notebooks and tests
    **{name: name for name in ("torch", "torchvision", "numpy", "scipy", "matplotlib", "tqdm")},
    "scikit-learn": "sklearn",
    "pillow": "PIL",
}
REINSTALL = "pip install --upgrade --force-reinstall torch torchvision (both from one index)"
GIB = 2**30
LAPTOP_MEMORY, GPU_MEMORY, PAPER_MEMORY = 1.5 * GIB, 4 * GIB, 7 * GIB  # measured on the CPU, and some room
LAPTOP_DISK, PAPER_DISK = 50 * 2**20, 1 * GIB  # a checkpoint takes 5 and 249 MiB, twice that while it is saved


@dataclass(frozen=True)
class Finding:
    """One line. status: ``ok``, ``note`` (worth knowing) or ``trouble`` (something would not run); mend: what to do."""

    status: str
    what: str
    mend: str = ""

    def __str__(self) -> str:
        return f"{self.status:<9}{self.what}" + (f" -> {self.mend}" if self.mend else "")


def requirements(path: Path) -> dict[str, str] | None:
    """Package -> lower bound ("" for none) of a requirements file; None where there is no such file."""
    if not path.is_file():
        return None
    lines = (re.match(r"([A-Za-z][\w.-]*)\s*(?:>=\s*([\d.]+))?", line) for line in path.read_text().splitlines())
    return {found[1].lower(): found[2] or "" for found in lines if found}


def parts(version: str) -> tuple[int, ...]:
    """'2.11.0+cpu' -> (2, 11), to be compared; zeros at the end say nothing."""
    numbers = [int(digits) for digits in re.match(r"[\d.]*", version)[0].split(".") if digits]
    while numbers and numbers[-1] == 0:
        numbers.pop()
    return tuple(numbers)


def check_packages(bounds: dict[str, str] | None, version_of: Callable[[str], str | None]) -> list[Finding]:
    """Every package is there and new enough; without bounds only those that a training run needs, of any version."""
    wanted = dict.fromkeys(IMPORTED, "") if bounds is None else bounds
    found, good = [], []
    for name, bound in wanted.items():
        version = version_of(name)
        if version and parts(version) >= parts(bound):
            good.append(f"{name} {version}")
            continue
        what = f"{name} {version} is older than {bound}" if version else f"{name} is missing"
        why = "" if name in IMPORTED else " (training runs without it; notebooks or tests do not)"
        mend = f'pip install --upgrade "{name}{">=" if bound else ""}{bound}"'
        found.append(Finding("trouble" if name in IMPORTED else "note", what + why, mend))
    if good:
        found.insert(0, Finding("ok", "packages: " + ", ".join(good)))
    if bounds is None:
        found.append(Finding("note", "no requirements.txt beside the package: lower bounds were not checked"))
    return found


def check_imports(version_of: Callable[[str], str | None], load: Callable[[str], object]) -> list[Finding]:
    """Every installed package that a training run imports can be imported."""
    found, sound_torch = [], version_of("torch") is not None
    for name, module in IMPORTED.items():
        if version_of(name) is None or (name == "torchvision" and not sound_torch):
            continue
        try:
            load(module)
        except Exception as error:  # a mismatch of binaries shows as ImportError, RuntimeError, OSError, ValueError ...
            reason = f"{type(error).__name__}: {(str(error) or '?').splitlines()[0]}"
            sound_torch &= name != "torch"
            if name == "torchvision":
                what = f"torchvision {version_of(name)} does not go with torch {version_of('torch')} ({reason})"
                found.append(Finding("trouble", what, REINSTALL))
            else:
                mend = REINSTALL if name == "torch" else f"pip install --upgrade --force-reinstall {name}"
                found.append(Finding("trouble", f"{name} {version_of(name)} cannot be imported ({reason})", mend))
    return found


def check_python(version: tuple[int, ...]) -> Finding:
    """version: as sys.version_info."""
    what = f"python {'.'.join(map(str, version[:3]))}, {sys.executable}"
    if version[:2] < (3, 10):
        return Finding("trouble", f"{what}: older than 3.10", "make an environment with a newer one")
    return Finding("ok", what)


def check_cpu(name: str, cores: float, threads: int) -> Finding:
    """cores: usable by this process; threads: of torch."""
    what = f"CPU: {name}, {cores:g} cores usable, torch uses {threads} threads"
    fitting = max(1, int(cores))
    if threads > fitting:  # they spin while they wait for one another
        return Finding("note", f"{what}: more threads than cores are slower", f"export OMP_NUM_THREADS={fitting}")
    if threads < fitting // 2:
        return Finding("note", f"{what}: half of them idle", f"export OMP_NUM_THREADS={fitting}, if they are yours")
    return Finding("ok", what)


def check_load(load: float | None, cores: float) -> Finding:
    """load: processes that wanted a core, on average over the last minute."""
    if load is None or load < 0.5 * max(cores, 1):
        return Finding("ok", "the cores are free" + ("" if load is None else f" (load {load:.1f})"))
    what = f"the cores were busy in the last minute (load {load:.1f} on {cores:g}): times here are longer than need be"
    return Finding("note", what, "run one training after the other: two at once are far slower, their threads spin")


def check_cuda(devices: list[tuple[str, int, int]], driver: bool, said: str = "") -> list[Finding]:
    """devices: (name, bytes in total, bytes free); driver: whether NVIDIA's is here; said: torch's own complaint."""
    if devices:
        return [
            Finding("ok", f"cuda:{i}: {name}, {readable_bytes(total)}, {readable_bytes(free)} free")
            for i, (name, total, free) in enumerate(devices)
        ]
    if driver:
        why = said.splitlines()[0] if said else "torch was built without CUDA, or the driver is older than it needs"
        mend = "install the torch build for your driver from pytorch.org/get-started"
        return [Finding("note", f"an NVIDIA driver is here but torch sees no CUDA device ({why})", mend)]
    return [Finding("ok", "no CUDA device: everything runs on the CPU")]


def check_bf16(fast: bool, device: str) -> Finding:
    """Whether the matrix products are in bf16."""
    if fast:
        return Finding("ok", f"bf16: fast on this {device}, and used")
    why = "CPUs with AMX and GPUs from Ampere on have it"
    return Finding("note", f"bf16: no units for it in this {device} ({why}); float32 is used: right, but slower")


def check_compile(cuda: bool, triton: bool, compiler: str | None) -> Finding:
    """torch.compile, which only the gpu preset uses, and only on a GPU. compiler: path of a C or C++ compiler."""
    lacking = ([] if triton or not cuda else ["triton"]) + ([] if compiler else ["a C++ compiler"])
    if not lacking:
        return Finding("ok", "torch.compile: can be used" + ("" if cuda else " (on a CPU no preset does)"))
    if not cuda:
        return Finding("ok", f"torch.compile: lacks {' and '.join(lacking)}; on a CPU no preset uses it")
    mend = "pass --no-compile, or install it (pip install triton; apt install g++ python3-dev)"
    return Finding("trouble", f"torch.compile lacks {' and '.join(lacking)}: the gpu preset would stop", mend)


def check_memory(total: int | None, available: int | None) -> Finding:
    """Bytes."""
    if total is None:
        return Finding("note", "memory: the system does not say how much there is")
    free = total if available is None else available
    what = f"memory: {readable_bytes(free)}" + ("" if available is None else f" available of {readable_bytes(total)}")
    if free < LAPTOP_MEMORY:
        what += f"; the laptop preset takes up to {readable_bytes(LAPTOP_MEMORY)}"
        return Finding("trouble", what, "close other programs, or raise the container's limit; --limit, --batch-size")
    small = [n for n, need in (("gpu", GPU_MEMORY), ("paper", PAPER_MEMORY)) if free < need]
    if small:
        return Finding("note", f"{what}: not enough for {' and '.join(small)} on the CPU", "a smaller --batch-size")
    return Finding("ok", what)


def check_folder(folder: Path, free: int, refused: str, move: str, needed: bool) -> Finding:
    """free: bytes on its disk; refused: why nothing can be written, or ""; move: how to choose another place;
    needed: whether every run writes there."""
    bad = "trouble" if needed else "note"
    where = f"{folder}/ ({folder.resolve()})"
    if refused:
        return Finding(bad, f"{where} cannot be written: {refused}", move)
    what = f"{where} can be written, {readable_bytes(free)} free"
    if free < LAPTOP_DISK:
        return Finding(bad, f"{what}: too little", f"free some space, or {move}")
    if free < PAPER_DISK:
        return Finding("note", f"{what}: the paper preset and downloads need more", f"free some space, or {move}")
    return Finding("ok", what)


def check_data(lacking: dict[str, list[str]], root: Path, wanted: dict[str, str]) -> list[Finding]:
    """Which data sets need no download.

    lacking: data set -> its files or folders that are not there ([] where it is complete). wanted: data set -> the
    folder that it is looked for in, below root.
    """
    found = [
        Finding("ok", "data, ready without a download: " + ", ".join(n for n, files in lacking.items() if not files))
    ]
    absent = []
    for name, files in lacking.items():
        if files and (root / wanted[name]).exists():
            some = ", ".join(files[:3]) + (f" and {len(files) - 3} more" if len(files) > 3 else "")
            found.append(Finding("note", f"{name}: {root / wanted[name]} lacks {some}", "put them there, or remove it"))
        elif files:
            absent.append(name)
    if absent:
        folders = ", ".join(wanted[name] for name in absent)
        loads = "imagenet10 must be put there by hand, the others are downloaded when asked for"
        mend = f"nothing, or without a network: put {folders} into {root.resolve()}"
        found.append(Finding("note", f"data, not here yet: {', '.join(absent)} ({loads})", mend))
    return found


def check_kernel(python: str | None, here: str) -> Finding:
    """python: the program that Jupyter's kernel python3 starts, None where there is no such kernel; here: ours."""
    mend = "python -m pip install ipykernel && python -m ipykernel install --sys-prefix"
    if python is None:
        return Finding("note", "Jupyter has no kernel python3, which every notebook asks for", mend)
    # folders are compared, not programs: those of two environments are often links to one and the same python
    if Path(python).name != python and Path(python).parent.resolve() != Path(here).parent.resolve():
        return Finding("note", f"Jupyter's kernel python3 starts {python}, not this environment's {here}", mend)
    return Finding("ok", "Jupyter kernel python3: this environment's")
