"""What the operating system gives this process: cores, memory, disk. Standard library only, so it always answers."""

from __future__ import annotations

import math
import os
import platform
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

SYSTEM = Path("/")  # tests put a made-up system here


def cpu_name() -> str:
    """The processor's name, as far as the system tells it."""
    try:
        for line in (SYSTEM / "proc/cpuinfo").read_text().splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    except OSError:
        pass
    return platform.processor() or platform.machine()


def groups(controller: str) -> Iterator[Path]:
    """The control groups that bind this process, the innermost first: containers and batch systems set limits there.

    controller: ``memory`` or ``cpu``; the folders of version 1 carry that name, those of version 2 are for all.
    """
    try:
        lines = (SYSTEM / "proc/self/cgroup").read_text().splitlines()
    except OSError:
        return
    for line in lines:
        _, names, own = line.split(":", 2)
        if names and controller not in names.split(","):
            continue
        top = SYSTEM / "sys/fs/cgroup" / (controller if names else "")
        folder = top / own.strip("/")  # within a container it may not exist: then the top is the container's own
        yield from (parent for parent in (folder, *folder.parents) if parent == top or top in parent.parents)


def number(path: Path, word: int = 0) -> int | None:
    """The whole number that is the file's ``word``; None where there is none (no such file, or "max")."""
    try:
        return int(path.read_text().split()[word])
    except (OSError, ValueError, IndexError):
        return None


def usable_cores() -> float:
    """Cores that this process may keep busy: its affinity, cut by the groups' quota (which may be a fraction)."""
    cores = float(len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1)
    for group in groups("cpu"):
        quota, period = number(group / "cpu.max"), number(group / "cpu.max", 1)  # version 2: both in one file
        if quota is None:
            quota, period = number(group / "cpu.cfs_quota_us"), number(group / "cpu.cfs_period_us")
        if quota and period and quota > 0:  # version 1 says -1 for no limit
            cores = min(cores, quota / period)
    return cores


def cache_of(group: Path) -> int:
    """Bytes of files that a memory group holds and would give back when asked."""
    try:
        pairs = [line.split() for line in (group / "memory.stat").read_text().splitlines()]
    except OSError:
        return 0
    held = {name: int(value) for name, value in pairs}
    return held.get("total_cache", held.get("file", 0))


def memory() -> tuple[int | None, int | None]:
    """Bytes in total and available to this process, its groups' limits respected; None where the system keeps quiet."""
    try:
        lines = (SYSTEM / "proc/meminfo").read_text().splitlines()
        told = {line.partition(":")[0]: int(line.split()[1]) * 1024 for line in lines}
        total, available = told["MemTotal"], told["MemAvailable"]
    except (OSError, KeyError, ValueError):
        try:  # macOS
            return os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE"), None
        except (AttributeError, OSError, ValueError):
            return None, None
    for group in groups("memory"):
        for most, used in (("memory.max", "memory.current"), ("memory.limit_in_bytes", "memory.usage_in_bytes")):
            limit = number(group / most)
            if limit is not None:
                total = min(total, limit)
                available = min(available, max(0, limit - (number(group / used) or 0) + cache_of(group)))
    return total, available


def load() -> float | None:
    """Processes that wanted a core, on average over the last minute; None where the system does not count."""
    return os.getloadavg()[0] if hasattr(os, "getloadavg") else None


def standing(folder: Path) -> Path:
    """``folder``, or the nearest folder above it that exists."""
    return next(parent for parent in (folder.resolve(), *folder.resolve().parents) if parent.exists())


def free_disk(folder: Path) -> int:
    """Bytes free where ``folder`` is or would be made."""
    return shutil.disk_usage(standing(folder)).free


def refused(folder: Path) -> str:
    """Why no file can be made in ``folder``, or where it would be made; "" where one can."""
    try:
        with tempfile.TemporaryFile(dir=standing(folder)):
            return ""
    except OSError as error:
        return error.strerror or type(error).__name__


def readable_bytes(count: float) -> str:
    """1536 MiB -> '1.5 GiB'."""
    power = min(4, max(0, int(math.log2(max(count, 1)) // 10)))
    return f"{count / 1024**power:.{0 if power < 3 else 1}f} {('B', 'KiB', 'MiB', 'GiB', 'TiB')[power]}"
