"""What this machine can do, what would stop a run here and how to mend it: ``python -m cdlearn.doctor``.

It looks, hands what it saw to the checks of cdlearn.doctor.rules and prints a line for each finding: ok, note (worth
knowing) or trouble (something would not run). The exit status is 1 where there is trouble, else 0. torch and its like
are imported late, so that a broken one is a finding.
"""

from __future__ import annotations

import argparse
import importlib
import importlib.util
import os
import shutil
import sys
import warnings
from collections.abc import Callable, Iterator
from importlib import metadata
from pathlib import Path

from cdlearn.doctor import machine, rules
from cdlearn.doctor.rules import Finding

REQUIREMENTS = Path(__file__).resolve().parents[2] / "requirements.txt"
RUNS, DATA = Path("runs"), Path("data")


def installed(name: str) -> str | None:
    """The version of a package, None where it is missing."""
    try:
        return metadata.version(name)
    except metadata.PackageNotFoundError:
        return None


def look_at_packages() -> list[Finding]:
    bounds = rules.requirements(REQUIREMENTS)
    found = [rules.check_python(tuple(sys.version_info)), *rules.check_packages(bounds, installed)]
    return found + rules.check_imports(installed, importlib.import_module)


def look_at_places() -> list[Finding]:
    runs = (RUNS, machine.free_disk(RUNS), machine.refused(RUNS), "choose another place with --out", True)
    data = (DATA, machine.free_disk(DATA), machine.refused(DATA), "start python from another folder", False)
    return [rules.check_folder(*runs), rules.check_folder(*data)]


def look_at_memory_and_load() -> list[Finding]:
    return [rules.check_memory(*machine.memory()), rules.check_load(machine.load(), machine.usable_cores())]


def look_at_devices() -> list[Finding]:
    import torch

    from cdlearn.runtime.devices import fast_bf16, pick_device

    with warnings.catch_warnings(record=True) as said:  # torch warns where a driver does not suit it
        warnings.simplefilter("always")
        cuda = [
            (torch.cuda.get_device_name(i), torch.cuda.mem_get_info(i)[1], torch.cuda.mem_get_info(i)[0])
            for i in range(torch.cuda.device_count() if torch.cuda.is_available() else 0)
        ]
    driver = bool(shutil.which("nvidia-smi")) or Path("/proc/driver/nvidia/version").exists()
    compiler = os.environ.get("CC") or next(filter(None, map(shutil.which, ("g++", "clang++", "gcc", "clang"))), None)
    device = pick_device()
    return [
        rules.check_cpu(machine.cpu_name(), machine.usable_cores(), torch.get_num_threads()),
        *rules.check_cuda(cuda, driver, str(said[0].message) if said else ""),
        rules.check_bf16(fast_bf16(device), "GPU" if cuda else "CPU"),
        rules.check_compile(bool(cuda), importlib.util.find_spec("triton") is not None, compiler),
    ]


def look_at_data() -> list[Finding]:
    from torchvision import datasets

    from cdlearn.data import IMAGENET10

    lacking, wanted = {"shapes": [], "digits": []}, {}
    known = {"cifar10": datasets.CIFAR10, "cifar100-20": datasets.CIFAR100, "stl10": datasets.STL10}
    for name, kind in known.items():
        wanted[name] = kind.base_folder
        files = [file for file, *_ in kind.train_list + kind.test_list]
        lacking[name] = [file for file in files if not (DATA / kind.base_folder / file).is_file()]
    wanted["imagenet10"] = "imagenet10"
    lacking["imagenet10"] = [synset for synset in IMAGENET10 if not (DATA / "imagenet10" / synset).is_dir()]
    return rules.check_data(lacking, DATA, wanted)


def look_at_kernel() -> list[Finding]:
    try:
        from jupyter_client.kernelspec import KernelSpecManager, NoSuchKernel
    except ImportError:  # Jupyter is missing as a whole, which is a finding of its own
        return []
    try:
        return [rules.check_kernel(KernelSpecManager().get_kernel_spec("python3").argv[0], sys.executable)]
    except NoSuchKernel:
        return [rules.check_kernel(None, sys.executable)]


def probe() -> Iterator[Finding]:
    """About ten seconds of training steps on two cores."""
    from cdlearn.doctor import pace

    for made, line in pace.estimates():
        yield Finding("ok" if made else "note", line, "" if made else "a smaller --batch-size, or the laptop preset")
    yield Finding("ok", "the table and figures at the end come on top of these times: 38 s for laptop on two cores")


def examine(with_probe: bool = True) -> Iterator[Finding]:
    """Every finding, as soon as it is made."""
    seen: list[Finding] = []

    def looked(look: Callable) -> Iterator[Finding]:
        try:
            for finding in look():
                seen.append(finding)
                yield finding
        except Exception as error:  # a doctor must not fall ill: what it could not see is a finding
            reason = (str(error) or "?").splitlines()[0]
            yield Finding("note", f"{look.__name__.replace('_', ' ')} failed ({type(error).__name__}: {reason})")

    def trouble() -> bool:
        return any(finding.status == "trouble" for finding in seen)

    yield from looked(look_at_packages)
    sound = not trouble()
    if sound:
        yield from looked(look_at_devices)
    for look in (look_at_memory_and_load, look_at_places, look_at_kernel):
        yield from looked(look)
    if not sound:
        yield Finding("note", "devices, data and speed were not looked at", "mend the packages first")
        return
    yield from looked(look_at_data)
    if with_probe and trouble():
        yield Finding("note", "the speed was not looked at", "mend the trouble first")
    elif with_probe:
        yield from looked(probe)


def main(arguments: list[str] | None = None) -> int:
    """The command line; returns the exit status."""
    parser = argparse.ArgumentParser(
        prog="python -m cdlearn.doctor",
        description="Look for what would stop a run on this machine, and tell how long each preset takes here.",
        allow_abbrev=False,
    )
    parser.add_argument("--no-probe", action="store_true", help="leave out the ten seconds of training steps")
    asked = parser.parse_args(arguments)
    counts = {"ok": 0, "note": 0, "trouble": 0}
    try:
        for finding in examine(not asked.no_probe):
            print(finding, flush=True)
            counts[finding.status] += 1
    except KeyboardInterrupt:
        return 130
    if counts["trouble"]:
        print(f"\n{counts['trouble']} to mend before a run; the mend stands behind the arrow")
        return 1
    print("\nall is well" + (f"; {counts['note']} to note" if counts["note"] else ""))
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
