"""The doctor names each trouble and its fix, in one line, on machines that are made up here."""

import importlib
import subprocess
import sys
from importlib import metadata
from types import SimpleNamespace

import joblib
import psutil
import pytest
import torch
from torchvision import datasets

from cdlearn import data
from cdlearn.config import Config
from cdlearn.doctor import __main__ as doctor
from cdlearn.doctor import pace, rules
from cdlearn.runtime import devices

GIB = 2**30


def write(root, files):
    for name, text in files.items():
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_text(str(text))


def lines(findings):
    return [f"{status}: {' -> '.join(words)}" for status, *words in findings]


def test_this_environment_has_what_requirements_ask_for():
    _, packages = rules.packages()
    assert packages[0] == "ok" and f"torch {metadata.version('torch')}" in packages[1]


@pytest.fixture
def few(tmp_path, monkeypatch):
    write(tmp_path, {"r.txt": "# a remark\ntorch>=2.11\ntorchvision\nSciPy >= 1.11  # why\nlime>=0.2.0.1\n-e .\n\n"})
    monkeypatch.setattr(rules, "REQUIREMENTS", tmp_path / "r.txt")


@pytest.mark.parametrize("version", ["2.11.0+cpu", "2.11", "2.12.0a0+git1", "2.11.0a0+vendor", "10.0"])
def test_a_version_that_is_new_enough(few, version):
    assert [status for status, *_ in rules.packages(lambda _: version, str)] == ["ok", "ok"]


def test_missing_and_old_packages_are_named_with_the_command_that_mends(few):
    def version_of(name):
        if name in ("scipy", "lime"):
            raise metadata.PackageNotFoundError
        return "2.9.1"

    found = lines(rules.packages(version_of, str))
    assert 'trouble: torch 2.9.1 is installed, >=2.11 is needed -> pip install --upgrade "torch>=2.11"' in found
    assert 'trouble: scipy is missing -> pip install --upgrade "scipy>=1.11"' in found
    assert any(line.startswith("note: lime is missing (training runs without it") for line in found)
    assert found[-1] == "ok: packages: torchvision 2.9.1" and len(found) == 5


def test_without_a_requirements_file_the_bounds_are_skipped(few, tmp_path):
    (tmp_path / "r.txt").unlink()
    *_, last = lines(rules.packages(lambda _: "0.1", str))
    assert last.startswith("note: packages: torch 0.1") and "no requirements.txt" in last


@pytest.mark.parametrize(
    ("broken", "says"),
    [
        (["torchvision"], "torchvision 9.0 does not go with torch 9.0 (RuntimeError: operator nms does not exist)"),
        (["torch", "torchvision"], "torch 9.0 cannot be imported (RuntimeError: operator nms does not exist)"),
        (["scipy"], "scipy 9.0 cannot be imported"),
    ],
)
def test_what_cannot_be_imported_is_named_once(few, broken, says):
    def load(module):
        if module in broken:
            raise RuntimeError("operator nms does not exist\nand a long story")

    (trouble,) = [line for line in lines(rules.packages(lambda _: "9.0", load)) if line.startswith("trouble")]
    assert says in trouble and "story" not in trouble
    assert trouble.endswith("torch torchvision (both from one index)" if "torch" in broken[0] else "scipy")


def machine(
    monkeypatch, cores=2, threads=2, load=0.3, kind="AVX2", bf16=False, amx=False, fast=False, cuda=0, warns=""
):
    """A made-up CPU, and made-up GPUs."""

    def available():
        if warns:
            importlib.import_module("warnings").warn(warns, stacklevel=1)
        return cuda > 0

    monkeypatch.setattr(joblib, "cpu_count", lambda: cores)
    monkeypatch.setattr(psutil, "getloadavg", lambda: (load, 0, 0))
    monkeypatch.setattr(torch, "get_num_threads", lambda: threads)
    monkeypatch.setattr(torch.backends.cpu, "get_cpu_capability", lambda: kind)
    monkeypatch.setattr(torch.cpu, "_is_avx512_bf16_supported", lambda: bf16)
    monkeypatch.setattr(torch.cpu, "_is_amx_tile_supported", lambda: amx)
    monkeypatch.setattr(devices, "fast_bf16", lambda device: fast)
    monkeypatch.setattr(torch.cuda, "is_available", available)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: cuda)
    monkeypatch.setattr(torch.cuda, "get_device_name", lambda i: "H100")
    monkeypatch.setattr(torch.cuda, "mem_get_info", lambda i: (79 * GIB, 80 * GIB))
    return lines(rules.devices())


def test_threads_and_load(monkeypatch):
    cpu, busy, *_ = machine(monkeypatch)
    assert cpu.startswith("ok: CPU") and busy.startswith("ok")
    assert machine(monkeypatch, threads=8)[0].endswith("export OMP_NUM_THREADS=2, if all cores are yours")
    assert "half idle" in machine(monkeypatch, cores=8, threads=1)[0]
    assert machine(monkeypatch, cores=8, threads=4)[0].startswith("ok")
    assert "one training after the other" in machine(monkeypatch, load=2.1)[1]


def test_the_kind_of_cpu_and_what_it_costs(monkeypatch):
    monkeypatch.setattr(rules, "COST", {"AMX": 1.0, "AVX512 with bf16": 1.5, "AVX512": 2.0, "AVX2": 3.0})

    def kind(**has):
        return machine(monkeypatch, **has)[2]

    assert kind(amx=True, fast=True, kind="AVX512").endswith("AMX; it trains in bf16")
    assert "AVX2; it trains in float32, which is right, but takes about 3.0 times as long as" in kind()
    assert kind(kind="AVX512").startswith("note") and "AVX512; it" in kind(kind="AVX512")
    assert "AVX512 with bf16; it trains in bf16, but" in (zen := kind(kind="AVX512", bf16=True, fast=True))
    assert zen.startswith("ok")
    assert "SVE256; it" in (arm := kind(kind="SVE256")) and "not yet measured" in arm


def test_cuda_its_absence_its_driver_and_its_compiler(monkeypatch):
    monkeypatch.setattr(rules.shutil, "which", lambda name: None)
    assert machine(monkeypatch)[3:] == ["ok: no CUDA device: everything runs on the CPU"]
    monkeypatch.setattr(rules.shutil, "which", lambda name: name)
    blind = machine(monkeypatch, warns="The driver is too old\nmore")[3]
    assert blind.startswith("note") and "too old)" in blind and "pytorch.org" in blind
    monkeypatch.setattr(rules.importlib.util, "find_spec", lambda name: name)
    found = machine(monkeypatch, cuda=1, fast=True)
    assert found[3] == "ok: cuda:0: H100, 80.0 GiB, 79.0 GiB free" and found[4].startswith("ok: bf16")
    assert found[5] == "ok: torch.compile: can be used"
    monkeypatch.setattr(rules.importlib.util, "find_spec", lambda name: None)
    monkeypatch.setattr(rules.shutil, "which", lambda name: None)
    monkeypatch.delenv("CC", raising=False)
    _, bf16, compiles = machine(monkeypatch, cuda=1)[3:]
    assert bf16.startswith("note") and "lacks triton and a C++ compiler" in compiles and "install triton" in compiles


def memory(monkeypatch, root, total, free):
    monkeypatch.setattr(rules, "SYSTEM", root)
    monkeypatch.setattr(psutil, "virtual_memory", lambda: (total * GIB, free * GIB))
    return lines(rules.memory())[0]


def test_memory(monkeypatch, tmp_path):
    assert memory(monkeypatch, tmp_path, 24, 22) == "ok: memory: 22.0 GiB available of 24.0 GiB"
    assert "not enough for paper (7.0 GiB) on the CPU" in memory(monkeypatch, tmp_path, 24, 5)
    assert memory(monkeypatch, tmp_path, 2, 1).startswith("trouble: memory: 1.0 GiB")


V1 = {
    "proc/self/cgroup": "5:cpu,cpuacct:/jobs/7\n4:memory:/jobs/7\n0::/\n",
    "sys/fs/cgroup/memory/memory.limit_in_bytes": 2**63 - 4096,  # as good as none
    "sys/fs/cgroup/memory/memory.usage_in_bytes": 50 * GIB,
    "sys/fs/cgroup/memory/memory.stat": "cache 0\n",
    "sys/fs/cgroup/memory/jobs/7/memory.limit_in_bytes": 4 * GIB,
    "sys/fs/cgroup/memory/jobs/7/memory.usage_in_bytes": 2 * GIB,
    "sys/fs/cgroup/memory/jobs/7/memory.stat": f"active_file 5\ntotal_active_file {GIB // 2}\n"
    f"total_inactive_file {GIB // 2}\n",
}
V2 = {
    "proc/self/cgroup": "0::/jobs/7\n",
    "sys/fs/cgroup/jobs/7/memory.max": "max",
    "sys/fs/cgroup/jobs/7/memory.current": GIB,
    "sys/fs/cgroup/jobs/memory.max": 4 * GIB,
    "sys/fs/cgroup/jobs/memory.current": 2 * GIB,
    "sys/fs/cgroup/jobs/memory.stat": f"anon 0\nactive_file 0\ninactive_file {GIB}\n",
}


@pytest.mark.parametrize("files", [V1, V2])
def test_memory_limits_of_a_container_are_respected(monkeypatch, tmp_path, files):
    write(tmp_path, files)
    assert "3.0 GiB available of 4.0 GiB" in memory(monkeypatch, tmp_path, 64, 60)


def test_folders(tmp_path, monkeypatch):
    monkeypatch.setattr(rules, "RUNS", tmp_path / "not" / "made" / "yet")
    monkeypatch.setattr(rules, "DATA", tmp_path)

    def seen(free, refuse=None):
        def file(**_):
            if refuse:
                raise refuse
            return SimpleNamespace(close=lambda: None)

        monkeypatch.setattr(rules.shutil, "disk_usage", lambda place: SimpleNamespace(free=free))
        monkeypatch.setattr(rules.tempfile, "TemporaryFile", file)
        return lines(rules.folders())

    assert [line.split(":")[0] for line in seen(50 * GIB)] == ["ok", "ok"]
    assert all(line.startswith("note") and "paper preset" in line for line in seen(GIB // 2))
    assert [line.split(":")[0] for line in seen(2**20)] == ["trouble", "note"]
    runs, kept = seen(50 * GIB, OSError(30, "Read-only file system"))
    assert runs.startswith("trouble") and runs.endswith(
        "cannot be written: Read-only file system -> pass another --out"
    )
    assert kept.startswith("note") and list(tmp_path.iterdir()) == []


def test_a_folder_that_is_a_file(tmp_path, monkeypatch):
    write(tmp_path, {"runs": "a file"})
    monkeypatch.setattr(rules, "RUNS", tmp_path / "runs")
    assert lines(rules.folders())[0].startswith("trouble")


def test_data_that_is_there_half_there_and_absent(tmp_path, monkeypatch):
    monkeypatch.setattr(rules, "DATA", tmp_path)
    ok, note = lines(rules.data())
    assert "patches, shapes, motifs, digits" in ok and "cifar-100-python, stl10_binary into" in note
    for kind, left_out in ((datasets.CIFAR10, None), (datasets.CIFAR100, "test")):
        names = [name for name, _ in kind.train_list + kind.test_list]
        write(tmp_path / kind.base_folder, {name: "" for name in names if name != left_out})
    half, ok, note = found = lines(rules.data())
    assert ok.endswith("cifar10") and "cifar-100-python lacks test ->" in half
    assert "not here yet: imagenet10, stl10" in note
    assert all(name in " ".join(found) for name in data.NAMES)


@pytest.mark.parametrize(
    ("argv", "says"),
    [("here/python", "ok"), ("python", "ok"), ("there/python", "note: Jupyter's"), (None, "note: Jupyter has no")],
)
def test_the_kernel_is_this_environments(tmp_path, monkeypatch, argv, says):
    for environment in ("here", "there"):  # two environments of one python
        (tmp_path / environment).mkdir()
        (tmp_path / environment / "python").symlink_to(sys.executable)
    monkeypatch.setattr(rules, "sys", SimpleNamespace(executable=str(tmp_path / "here/python")))
    python = str(tmp_path / argv) if argv and "/" in argv else argv
    monkeypatch.setattr("jupyter_client.kernelspec.find_kernel_specs", lambda: {"python3": ""} if argv else {})
    monkeypatch.setattr("jupyter_client.kernelspec.get_kernel_spec", lambda name: SimpleNamespace(argv=[python]))
    assert lines(rules.kernel())[0].startswith(says)


def test_times_are_readable():
    times = [pace.readable_time(s) for s in (0.5, 41.4, 89, 100, 5400, 47 * 3600, 48 * 3600, 5.3e6)]
    assert times == ["0.5 s", "41 s", "89 s", "1.7 min", "1.5 h", "47 h", "2.0 days", "61 days"]


def test_estimates_say_what_they_rest_on():
    asked = []

    def measure(config, spend):
        asked.append((config.preset_name, config.batch_size, config.compile))
        return 0.001

    found = lines(pace.estimates(measure, "cpu"))
    assert asked[0] == ("smoke", 64, False) and asked[3:] == [("gpu", 16, False), ("paper", 8, False)]
    assert "estimated" not in found[1] and "from a batch of 8 instead of 128" in found[4]
    assert "about 17 h" in found[4]  # 1000 x 468 steps x 128 images x 1 ms = 59,904 s


def test_a_gpu_takes_the_presets_own_batch_and_may_be_too_small(monkeypatch):
    monkeypatch.setattr(pace, "pick_device", lambda name: torch.device("cuda"))

    def measure(config, spend):
        if config.preset_name == "paper":
            raise torch.OutOfMemoryError
        return 1e-5

    found = lines(pace.estimates(measure))
    assert "without torch.compile" in found[3] and "instead of" not in found[3]
    assert found[4].startswith("note: paper preset: its batch of 128 does not fit in the device's memory")


def test_a_slow_machine_is_not_asked_for_large_networks():
    found = lines(pace.estimates(lambda config, spend: 0.05, "cpu"))
    assert [line.split(":")[0] for line in found] == ["ok", "ok", "ok", "note", "note", "ok"]
    assert "keep to laptop" in found[4]


def test_a_real_probe():
    assert pace.seconds_per_image(Config.preset("smoke", batch_size=8, device="cpu"), 0.0) > 0


def test_what_a_rule_cannot_see_is_a_note_and_trouble_ends_the_looking(monkeypatch, capsys):
    def packages():
        yield "trouble", "torch is missing", "pip install torch"

    def blind():
        raise OSError("no such thing\nat all")
        yield

    monkeypatch.setattr(rules, "packages", packages)
    monkeypatch.setattr(doctor, "RULES", (packages, blind, rules.folders, *doctor.RULES[-3:]))
    assert doctor.main([]) == 1
    printed = capsys.readouterr().out.splitlines()
    assert printed[:2] == ["trouble  torch is missing -> pip install torch", "note     blind: OSError: no such thing"]
    assert "note     devices: not looked at -> fix the packages first" in printed
    assert printed[-1].startswith("1 to fix before a run")


def test_without_the_library_that_reads_versions_nothing_is_well(monkeypatch, capsys):
    monkeypatch.setitem(sys.modules, "packaging.requirements", None)
    assert doctor.main(["--no-probe"]) == 1
    assert "trouble  packages: ModuleNotFoundError" in capsys.readouterr().out


def test_the_command(tmp_path):
    """Run as a user does, with a torch that is broken: it says so, and leaves nothing."""
    write(tmp_path / "broken", {"torch/__init__.py": "raise OSError('libcudart.so.13: cannot open')"})
    code = "import sys, runpy; sys.path.insert(0, 'broken'); runpy.run_module('cdlearn.doctor', run_name='__main__')"
    done = subprocess.run([sys.executable, "-c", code], cwd=tmp_path, capture_output=True, text=True, timeout=60)
    assert done.returncode == 1 and done.stderr == "" and "1 to fix before a run" in done.stdout
    assert f"trouble  torch {metadata.version('torch')} cannot be imported (OSError: libcudart" in done.stdout
    assert all(line.startswith(("ok ", "note ", "trouble ")) for line in done.stdout.splitlines()[:-2])
    assert [path.name for path in tmp_path.iterdir()] == ["broken"]


def test_the_command_says_whether_all_is_well(capsys):
    status, printed = doctor.main(["--no-probe"]), capsys.readouterr().out
    assert status == ("\ntrouble " in printed) and ("all is well" in printed) == (status == 0)
