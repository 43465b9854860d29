"""What the doctor checks: each rule yields findings, (status, what) or (status, what, fix), one line each.

status: ok, note (worth knowing) or trouble (something would not run). Imports are late: broken packages are findings.
"""

import contextlib
import importlib.util
import os
import platform
import shutil
import sys
import tempfile
import warnings
from collections.abc import Iterator
from importlib import metadata
from pathlib import Path

# The kinds of CPU, and how many times as long a step of the tiny network takes as on two cores with AMX; None: not
# measured. Source: the speed tables of tests/README.md, 3,917 views/s against 3,260 and 1,525.
COST = {"AMX": 1.0, "AVX512 with bf16": 1.2, "AVX512": None, "AVX2": 2.6}
IMPORTED = {name: name for name in ("torch", "torchvision", "numpy", "scipy", "matplotlib", "tqdm")}
IMPORTED |= {"scikit-learn": "sklearn", "pillow": "PIL"}  # distribution: module, of all that a training run imports
GIB, NEED = 2**30, {"laptop": 1.5, "gpu": 4.0, "paper": 7.0}  # GiB of memory, measured on the CPU, and some room
LAPTOP_DISK, PAPER_DISK = 50 * 2**20, 1 * GIB  # a checkpoint takes 5 and 249 MiB, twice that while it is saved
REQUIREMENTS = Path(__file__).resolve().parents[2] / "requirements.txt"
RUNS, DATA, SYSTEM = Path("runs"), Path("data"), Path("/")  # tests put made-up ones here


def first(*cases: tuple) -> tuple:
    """The finding of the first case (condition, *finding) whose condition holds."""
    return next(tuple(finding) for condition, *finding in cases if condition)


def packages(version_of=metadata.version, load=importlib.import_module) -> Iterator[tuple]:
    """Python and every required package are there, new enough and, where training needs them, can be imported."""
    from packaging.requirements import Requirement
    from packaging.version import Version

    yield "ok", f"python {platform.python_version()}, {sys.executable}"  # pip takes none that is too old
    good, known = {}, REQUIREMENTS.is_file()
    lines = [line.partition("#")[0].strip() for line in (REQUIREMENTS.read_text().splitlines() if known else IMPORTED)]
    for package in [Requirement(line) for line in lines if line and not line.startswith("-")]:
        name, bound = package.name.lower(), package.specifier
        fault, fix = "", f'pip install --upgrade "{name}{bound}"'
        try:
            version = version_of(name)
            if not bound.contains(Version(version).base_version):  # a vendor's 2.11.0a0 counts as 2.11.0
                fault = f"{name} {version} is installed, {bound} is needed"
            elif name in IMPORTED and (name != "torchvision" or "torch" in good):  # it cannot do without torch
                load(IMPORTED[name])
        except metadata.PackageNotFoundError:
            fault = f"{name} is missing"
        except Exception as error:  # a mismatch of binaries shows as ImportError, RuntimeError, OSError, ValueError ...
            why = f"does not go with torch {good['torch']}" if name == "torchvision" else "cannot be imported"
            fault = f"{name} {version} {why} ({type(error).__name__}: {str(error).partition(chr(10))[0]})"
            both = "torch torchvision (both from one index)" if name.startswith("torch") else name
            fix = f"pip install --upgrade --force-reinstall {both}"
        good |= {} if fault else {name: version}
        if fault:
            idle = f"{fault} (training runs without it; notebooks or tests do not)"
            yield first((name in IMPORTED, "trouble", fault, fix), (True, "note", idle, fix))
    blind = "" if known else "; no requirements.txt beside cdlearn: lower bounds were not checked"
    yield "ok" if known else "note", f"packages: {', '.join(map(' '.join, good.items()))}{blind}"


def devices() -> Iterator[tuple]:
    """Cores, their kind and its cost, CUDA devices or why torch sees none, and what a GPU can do."""
    import joblib
    import psutil
    import torch

    from cdlearn.runtime.devices import cpu_kind, fast_bf16

    cores, threads, load = joblib.cpu_count(), torch.get_num_threads(), psutil.getloadavg()[0]
    name = getattr(torch.cpu, "get_capabilities", dict)().get("cpu_name") or platform.processor() or platform.machine()
    what, fix = f"CPU: {name}, {cores} cores usable, torch uses {threads} threads", f"export OMP_NUM_THREADS={cores}"
    fault = ": more threads than cores are slower" * (threads > cores) + ": half idle" * (threads < cores // 2)
    yield ("note", what + fault, f"{fix}, if all cores are yours") if fault else ("ok", what)
    busy = f"the cores were busy in the last minute (load {load:.1f} on {cores}): times here are longer than need be"
    fix = "run one training after the other, because the threads of two slow each other down"
    yield first((load < 0.5 * cores, "ok", f"the cores are free (load {load:.1f})"), (True, "note", busy, fix))
    kind = cpu_kind()
    how = "bf16" if fast_bf16(torch.device("cpu")) else "float32, which is right"
    times = f"about {COST[kind]} times as long as" if COST.get(kind) else "longer (not yet measured) than"
    cost = "" if kind == "AMX" else f", but takes {times} a CPU with AMX"
    yield "ok" if how == "bf16" else "note", f"kind of CPU: {platform.machine()}, {kind}; it trains in {how}{cost}"
    with warnings.catch_warnings(record=True) as said:  # torch warns where a driver does not suit it
        warnings.simplefilter("always")
        count = torch.cuda.device_count() if torch.cuda.is_available() else 0
    if not count:
        driver = bool(shutil.which("nvidia-smi")) or Path("/proc/driver/nvidia/version").exists()
        why = str(said[0].message) if said else "torch has no CUDA, or the driver is older than it needs"
        blind = f"an NVIDIA driver is here but torch sees no CUDA device ({why.partition(chr(10))[0]})"
        fix = "install the torch build for your driver from pytorch.org/get-started"
        yield first((driver, "note", blind, fix), (True, "ok", "no CUDA device: everything runs on the CPU"))
        return
    for i in range(count):
        free, total = (f"{size / GIB:.1f} GiB" for size in torch.cuda.mem_get_info(i))
        yield "ok", f"cuda:{i}: {torch.cuda.get_device_name(i)}, {total}, {free} free"
    slow = "bf16: no units for it in this GPU (Ampere and later have them); float32 is used: right, but slower"
    yield first((fast_bf16(torch.device("cuda")), "ok", "bf16: fast on this GPU, and used"), (True, "note", slow))
    compiler = os.environ.get("CC") or any(map(shutil.which, ("g++", "clang++", "gcc", "clang")))
    lacking = ["triton"] * (not importlib.util.find_spec("triton")) + ["a C++ compiler"] * (not compiler)
    what = f"torch.compile lacks {' and '.join(lacking)}: training runs without it, only slower"
    fix = "pip install triton; apt install g++ python3-dev"
    yield first((lacking, "note", what, fix), (True, "ok", "torch.compile: can be used"))


def memory() -> Iterator[tuple]:
    """What psutil reports, cut by control groups of version 1 or 2, whose limits end a container's processes."""
    import psutil

    total, free = psutil.virtual_memory()[:2]
    groups = SYSTEM / "proc/self/cgroup"
    for _, tree, own in (s.split(":", 2) for s in (groups.read_text().splitlines() if groups.exists() else ())):
        inner = SYSTEM / "sys/fs/cgroup" / tree / own.strip("/")  # need not exist: a container's own is on top
        for group in (inner, *inner.parents) if tree in ("", "memory") else ():
            for most, used, kind in (("max", "current", ""), ("limit_in_bytes", "usage_in_bytes", "total_")):
                with contextlib.suppress(OSError, ValueError):  # no such file, or "max"
                    most, used = (int((group / f"memory.{name}").read_text()) for name in (most, used))
                    held = dict(line.split() for line in (group / "memory.stat").read_text().splitlines())
                    files = sum(int(held.get(f"{kind}{age}_file", 0)) for age in ("active", "inactive"))
                    total, free = min(total, most), min(free, max(0, most - used + files))  # held files can be dropped
    what = f"memory: {free / GIB:.1f} GiB available of {total / GIB:.1f} GiB"
    small = [f"{name} ({need} GiB)" for name, need in NEED.items() if free < need * GIB]
    fix = "close other programs, or raise the container's limit; a smaller --batch-size"
    few = f"{what}: not enough for {', '.join(small)} on the CPU"
    yield first((len(small) == len(NEED), "trouble", few, fix), (small, "note", few, fix), (True, "ok", what))


def folders() -> Iterator[tuple]:
    """Whether runs/ and data/ can be written, where they are or would be made, and the room there."""
    for folder, bad, move in ((RUNS, "trouble", "pass another --out"), (DATA, "note", "start python elsewhere")):
        refused, standing = "", next(up for up in (folder.resolve(), *folder.resolve().parents) if up.exists())
        free, fix = shutil.disk_usage(standing).free, f"free some space, or {move}"
        try:
            tempfile.TemporaryFile(dir=standing).close()
        except OSError as error:
            refused = error.strerror or type(error).__name__
        what = f"{folder}/ ({folder.resolve()}) can be written, {free / 2**20:,.0f} MiB free"
        yield first(
            (refused, bad, f"{folder}/ ({folder.resolve()}) cannot be written: {refused}", move),
            (free < LAPTOP_DISK, bad, f"{what}: too little", fix),
            (free < PAPER_DISK, "note", f"{what}: the paper preset and downloads need more", fix),
            (True, "ok", what),
        )


def data() -> Iterator[tuple]:
    """Which data sets need no download, which are there in part, where the others would be, and decoded folders."""
    from torchvision import datasets

    from cdlearn.data import NAMES, named
    from cdlearn.data.cache_files import caches

    sets, ready, absent = {"imagenet10": ("imagenet10", named.IMAGENET10)}, list(NAMES), {}
    for name, kind in ("cifar10", datasets.CIFAR10), ("cifar100-20", datasets.CIFAR100), ("stl10", datasets.STL10):
        sets[name] = kind.base_folder, [file for file, *_ in kind.train_list + kind.test_list]
    for name, (folder, wanted) in sets.items():
        lacking = [file for file in wanted if not (DATA / folder / file).exists()]
        ready = [one for one in ready if one != name or not lacking]
        if lacking and (DATA / folder).exists():
            some = ", ".join(lacking[:3]) + f" and {len(lacking) - 3} more" * (len(lacking) > 3)
            yield "note", f"{name}: {DATA / folder} lacks {some}", "put them there, or remove the folder"
        elif lacking:
            absent[name] = folder
    yield "ok", f"data, here already: {', '.join(ready)}"
    if absent:
        what = f"data, not here yet: {', '.join(absent)} (all but imagenet10 are downloaded when asked for)"
        yield "note", what, f"without a network, put {', '.join(absent.values())} into {DATA.resolve()}"
    if kept := caches(DATA / "decoded"):
        total = sum(size for _, size, _ in kept) / GIB
        what = f"decoded images in {DATA / 'decoded'}: {len(kept)} caches, {total:.2f} GiB"
        stale = [(path, size) for path, size, of in kept if of is None or not Path(of.folder).is_dir()]
        freed = f"{sum(size for _, size in stale) / GIB:.2f} GiB of folders that are gone, or of an older version"
        fix = f"remove {' '.join(str(path.with_suffix('.*')) for path, _ in stale[:3])}" + " …" * (len(stale) > 3)
        yield first((stale, "note", f"{what}, {freed}", fix), (True, "ok", what))


def kernel() -> Iterator[tuple]:
    """Whether Jupyter's python3 is this environment. Folders are compared: two environments may link to one python."""
    from jupyter_client.kernelspec import find_kernel_specs, get_kernel_spec

    python = get_kernel_spec("python3").argv[0] if "python3" in find_kernel_specs() else ""
    ours = Path(python).name == python or Path(python).parent.resolve() == Path(sys.executable).parent.resolve()
    fault = "" if ours else f"Jupyter's kernel python3 starts {python}, not this environment's {sys.executable}"
    fault = fault if python else "Jupyter has no kernel python3, which every notebook asks for"
    fix = "python -m pip install ipykernel && python -m ipykernel install --sys-prefix"
    yield ("note", fault, fix) if fault else ("ok", "Jupyter kernel python3: this environment's")
