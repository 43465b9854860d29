"""Cores, memory and disk as a container, a batch system or a full disk leaves them."""

import os

import pytest

from cdlearn.doctor import machine

GIB = 2**30


def test_a_folder_that_cannot_be_written(tmp_path, monkeypatch):
    assert machine.refused(tmp_path / "not" / "made" / "yet") == "" and not list(tmp_path.iterdir())
    assert machine.free_disk(tmp_path / "not" / "made" / "yet") > 0
    (tmp_path / "runs").write_text("a file")
    assert machine.refused(tmp_path / "runs")
    if os.geteuid() != 0:  # nothing is read-only to root
        tmp_path.chmod(0o500)
        assert machine.refused(tmp_path / "other") == "Permission denied"
        tmp_path.chmod(0o700)

    def full(**_):
        raise OSError(30, "Read-only file system")

    monkeypatch.setattr(machine.tempfile, "TemporaryFile", full)
    assert machine.refused(tmp_path) == "Read-only file system"


def write(root, files):
    for name, text in files.items():
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_text(text)


@pytest.mark.parametrize("version", [1, 2])
def test_limits_of_a_container_are_respected(tmp_path, monkeypatch, version):
    meminfo = {"proc/meminfo": f"MemTotal: {64 * 2**20} kB\nMemAvailable: {60 * 2**20} kB\n"}
    monkeypatch.setattr(machine, "SYSTEM", tmp_path)
    monkeypatch.setattr(machine.os, "sched_getaffinity", lambda _: set(range(16)), raising=False)
    write(tmp_path, meminfo)
    assert machine.memory() == (64 * GIB, 60 * GIB) and machine.usable_cores() == 16
    if version == 1:
        write(
            tmp_path,
            {
                "proc/self/cgroup": "5:cpu,cpuacct:/jobs/7\n4:memory:/jobs/7\n0::/\n",
                "sys/fs/cgroup/memory/memory.limit_in_bytes": str(2**63 - 4096),  # as good as none
                "sys/fs/cgroup/memory/jobs/7/memory.limit_in_bytes": str(4 * GIB),
                "sys/fs/cgroup/memory/jobs/7/memory.usage_in_bytes": str(2 * GIB),
                "sys/fs/cgroup/memory/jobs/7/memory.stat": f"cache 0\ntotal_cache {GIB}\n",
                "sys/fs/cgroup/cpu/jobs/7/cpu.cfs_quota_us": "-1",
                "sys/fs/cgroup/cpu/jobs/cpu.cfs_quota_us": "150000",
                "sys/fs/cgroup/cpu/jobs/cpu.cfs_period_us": "100000",
            },
        )
    else:
        write(
            tmp_path,
            {
                "proc/self/cgroup": "0::/jobs/7\n",
                "sys/fs/cgroup/jobs/7/memory.max": "max",
                "sys/fs/cgroup/jobs/memory.max": str(4 * GIB),
                "sys/fs/cgroup/jobs/memory.current": str(2 * GIB),
                "sys/fs/cgroup/jobs/memory.stat": f"anon 0\nfile {GIB}\n",
                "sys/fs/cgroup/jobs/7/cpu.max": "150000 100000",
                "sys/fs/cgroup/jobs/cpu.max": "max 100000",
            },
        )
    assert machine.memory() == (4 * GIB, 3 * GIB) and machine.usable_cores() == 1.5


def test_bytes_are_readable():
    assert [machine.readable_bytes(n) for n in (0, 1023, 50 * 2**20, 1.5 * GIB)] == [
        "0 B",
        "1023 B",
        "50 MiB",
        "1.5 GiB",
    ]
