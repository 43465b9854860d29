"""The doctor names each trouble and its mend, in one line, on machines that are made up here."""

import subprocess
import sys
from pathlib import Path

import pytest
import torch
from torchvision import datasets

from cdlearn import data
from cdlearn.config import Config
from cdlearn.doctor import __main__ as doctor
from cdlearn.doctor import pace, rules

GIB = 2**30


def only(found, status):
    return [finding for finding in found if finding.status == status]


def test_requirements_are_read_as_pip_reads_them(tmp_path):
    bounds = rules.requirements(doctor.REQUIREMENTS)
    assert set(rules.IMPORTED) <= set(bounds) and bounds["lime"] == "0.2.0.1" and "-e" not in bounds
    (tmp_path / "r.txt").write_text("# a remark\nNumPy >= 1.26  # why\n-e .\n\nlime\n")
    assert rules.requirements(tmp_path / "r.txt") == {"numpy": "1.26", "lime": ""}
    assert rules.requirements(tmp_path / "none.txt") is None


@pytest.mark.parametrize(
    ("version", "bound", "enough"),
    [
        ("2.11.0+cpu", "2.11", True),
        ("2.9.1", "2.11", False),
        ("10", "10.0", True),
        ("0.2.0.1", "0.2.0.1", True),
        ("0.2.0", "0.2.0.1", False),
        ("2.12.0a0+git1", "2.11", True),
        ("3", "", True),
    ],
)
def test_versions_compare_as_numbers(version, bound, enough):
    assert (rules.parts(version) >= rules.parts(bound)) is enough


def test_missing_and_old_packages_are_named_with_the_command_that_mends():
    versions = dict.fromkeys(rules.IMPORTED, "99") | {"torch": "2.9.1", "scipy": None, "lime": None}
    bounds = dict.fromkeys(rules.IMPORTED, "1.0") | {"torch": "2.11", "lime": "0.2.0.1"}
    found = rules.check_packages(bounds, versions.get)
    lines = [str(finding) for finding in found]
    assert 'trouble  torch 2.9.1 is older than 2.11 -> pip install --upgrade "torch>=2.11"' in lines
    assert 'trouble  scipy is missing -> pip install --upgrade "scipy>=1.0"' in lines
    assert [finding.what for finding in only(found, "note")] == [
        "lime is missing (training runs without it; notebooks or tests do not)"
    ]


def test_without_a_requirements_file_the_bounds_are_skipped():
    found = rules.check_packages(None, dict.fromkeys(rules.IMPORTED, "0.1").get)
    assert [finding.status for finding in found] == ["ok", "note"] and "no requirements.txt" in found[1].what


def test_a_mismatched_torchvision_is_one_line():
    def load(module):
        if module == "torchvision":
            raise RuntimeError("operator torchvision::nms does not exist\nand a long story")

    (found,) = rules.check_imports(dict.fromkeys(rules.IMPORTED, "1.2").get, load)
    assert found.status == "trouble" and "torchvision 1.2 does not go with torch 1.2" in found.what
    assert "nms does not exist" in found.what and "story" not in found.what and "torch torchvision" in found.mend


def test_a_broken_torch_is_named_once():
    def load(module):
        if module in ("torch", "torchvision"):
            raise OSError("libcudart.so.13: cannot open shared object file")

    (found,) = rules.check_imports(dict.fromkeys(rules.IMPORTED, "1.2").get, load)
    assert found.what.startswith("torch 1.2 cannot be imported (OSError: libcudart")
    assert rules.check_imports({"torchvision": "1.2"}.get, load) == []  # that torch is missing was said already


def test_cuda_its_absence_and_its_driver():
    (none,) = rules.check_cuda([], driver=False)
    assert none.status == "ok" and "no CUDA device" in none.what
    (blind,) = rules.check_cuda([], True, "The NVIDIA driver on your system is too old\nmore")
    assert blind.status == "note" and "too old)" in blind.what and "pytorch.org" in blind.mend
    (there,) = rules.check_cuda([("H100", 80 * GIB, 79 * GIB)], True)
    assert str(there) == "ok       cuda:0: H100, 80.0 GiB, 79.0 GiB free"


def test_bf16_and_compile():
    assert rules.check_bf16(True, "GPU").status == "ok" and rules.check_bf16(False, "CPU").status == "note"
    assert rules.check_compile(False, False, None).status == "ok"  # not needed there
    assert rules.check_compile(True, True, "/usr/bin/g++").status == "ok"
    lacking = rules.check_compile(True, False, None)
    assert (
        lacking.status == "trouble" and "triton and a C++ compiler" in lacking.what and "--no-compile" in lacking.mend
    )


def test_cores_and_load():
    assert rules.check_cpu("Z80", 2, 2).status == "ok" and rules.check_cpu("Z80", 8, 4).status == "ok"
    assert rules.check_cpu("Z80", 1.5, 8).mend == "export OMP_NUM_THREADS=1"
    assert rules.check_cpu("Z80", 8, 1).status == "note"
    assert rules.check_load(0.3, 2).status == rules.check_load(None, 2).status == "ok"
    assert "one training after the other" in rules.check_load(2.1, 2).mend


def test_memory():
    assert rules.check_memory(24 * GIB, 22 * GIB).status == "ok"
    assert rules.check_memory(24 * GIB, 5 * GIB).what.endswith("not enough for paper on the CPU")
    little = rules.check_memory(2 * GIB, GIB // 2)
    assert little.status == "trouble" and "512 MiB available of 2.0 GiB" in little.what
    assert rules.check_memory(16 * GIB, None).what == "memory: 16.0 GiB"
    assert rules.check_memory(None, None).status == "note"


def test_folders():
    runs = Path("runs")
    assert rules.check_folder(runs, 50 * GIB, "", "move", True).status == "ok"
    assert rules.check_folder(runs, GIB // 2, "", "move", True).status == "note"
    assert rules.check_folder(runs, 2**20, "", "move", True).status == "trouble"
    assert rules.check_folder(runs, 2**20, "", "move", False).status == "note"
    refused = rules.check_folder(runs, 50 * GIB, "Read-only file system", "move", True)
    assert refused.status == "trouble" and "Read-only" in refused.what and refused.mend == "move"


def write(root, files):
    for name, text in files.items():
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_text(text)


def test_data_that_is_there_half_there_and_absent(tmp_path, monkeypatch):
    monkeypatch.setattr(doctor, "DATA", tmp_path)
    ok, note = doctor.look_at_data()
    assert ok.what.endswith("shapes, digits") and "cifar-100-python, stl10_binary, imagenet10 into" in note.mend
    for kind, left_out in ((datasets.CIFAR10, None), (datasets.CIFAR100, "test")):
        names = [name for name, _ in kind.train_list + kind.test_list]
        write(tmp_path / kind.base_folder, {name: "" for name in names if name != left_out})
    ok, half, note = doctor.look_at_data()
    assert ok.what.endswith("shapes, digits, cifar10") and half.what.endswith("cifar-100-python lacks test")
    assert "not here yet: stl10, imagenet10" in note.what
    named = ", ".join(finding.what for finding in (ok, half, note))
    assert all(name in named for name in data.NAMES)


def test_the_kernel_is_this_environments(tmp_path):
    for environment in ("here", "there"):  # two environments of one python
        (tmp_path / environment).mkdir()
        (tmp_path / environment / "python").symlink_to(sys.executable)
    here, there = (str(tmp_path / environment / "python") for environment in ("here", "there"))
    assert rules.check_kernel(here, here).status == rules.check_kernel("python", here).status == "ok"
    assert rules.check_kernel(there, here).status == rules.check_kernel(None, here).status == "note"


def test_the_time_of_a_run():
    config = Config.preset("gpu", data="x")
    assert (config.batch_size, config.epochs) == (512, 200)
    assert pace.steps_of(config, 60_000) == 200 * 117
    assert pace.run_seconds(config, 60_000, 0.001) == pytest.approx(200 * 117 * 512 * 0.001)
    by_views = Config.preset("laptop", data="x")  # shows a million views, however many images there are
    assert pace.run_seconds(by_views, 1000, 2e-3) == pytest.approx(pace.run_seconds(by_views, 10_000, 2e-3), rel=0.15)
    times = [pace.readable_time(s) for s in (0.5, 41.4, 89, 100, 5400, 47 * 3600, 48 * 3600, 5.3e6)]
    assert times == ["0.5 s", "41 s", "89 s", "1.7 min", "1.5 h", "47 h", "2.0 days", "61 days"]


def test_estimates_say_what_they_rest_on():
    asked = []

    def measure(config, spend):
        asked.append((config.rung, config.batch_size, config.compile))
        return 0.001

    lines = [line for made, line in pace.estimates(measure, "cpu") if made]
    assert (
        len(lines) == 5 and asked[0] == ("smoke", 64, False) and asked[3:] == [("gpu", 16, False), ("paper", 8, False)]
    )
    assert "estimated" not in lines[1] and "from a batch of 8 instead of 128" in lines[4]
    assert "about 17 h" in lines[4]  # 1000 x 468 steps x 128 images x 1 ms = 59,904 s


def test_a_gpu_takes_the_presets_own_batch_and_may_be_too_small(monkeypatch):
    monkeypatch.setattr(pace, "pick_device", lambda name: torch.device("cuda"))

    def measure(config, spend):
        if config.rung == "paper":
            raise torch.OutOfMemoryError
        return 1e-5

    found = list(pace.estimates(measure))
    assert "without torch.compile" in found[3][1] and "instead of" not in found[3][1]
    assert found[4] == (False, "paper preset: its batch of 128 does not fit in the device's memory")


def test_a_slow_machine_is_not_asked_for_large_networks():
    found = list(pace.estimates(lambda config, spend: 0.05, "cpu"))
    assert [made for made, _ in found] == [True, True, True, False, False] and "keep to laptop" in found[4][1]


def test_a_real_probe():
    config = Config.preset("smoke", batch_size=8, device="cpu")
    assert 0 < pace.seconds_per_image(config, 0.0) < 10


def test_what_a_look_cannot_see_is_a_note_and_trouble_ends_the_looking(monkeypatch, capsys):
    def blind():
        raise OSError("no such thing")

    def packages():
        return [rules.Finding("trouble", "torch is missing", "pip install torch")]

    monkeypatch.setattr(doctor, "look_at_kernel", blind)
    monkeypatch.setattr(doctor, "look_at_packages", packages)
    monkeypatch.setattr(doctor, "probe", lambda: pytest.fail("probed in spite of trouble"))
    assert doctor.main([]) == 1
    printed = capsys.readouterr().out
    assert "blind failed (OSError: no such thing)" in printed and "mend the packages first" in printed
    assert "1 to mend before a run" in printed


def test_the_command(tmp_path):
    """Run as a user does; on any machine that can run the tests all is well, or what is not is named."""
    done = subprocess.run(
        [sys.executable, "-m", "cdlearn.doctor", "--no-probe"], cwd=tmp_path, capture_output=True, text=True, timeout=60
    )
    *lines, _, last = done.stdout.splitlines()
    assert all(line.startswith(("ok ", "note ", "trouble ")) for line in lines)
    troubles = [line for line in lines if line.startswith("trouble")]
    assert done.returncode == bool(troubles) and "Traceback" not in done.stderr
    assert last.startswith("all is well") or troubles
    assert any(f"torch {torch.__version__.split('+')[0]}" in line for line in lines)
    assert not list(tmp_path.iterdir())  # it looks, and leaves nothing
