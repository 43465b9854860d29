"""Where to compute, and in what precision."""

import contextlib
import ctypes
import sys

import torch

from cdlearn.runtime.errors import UserError, did_you_mean

KINDS = ("cpu", "cuda", "mps")


def pick_device(name: str = "") -> torch.device:
    """``cpu``, ``cuda``, ``cuda:N`` or ``mps``; "" takes cuda where there is one, and never mps.

    Raises UserError for one that is not there.
    """
    if not name:
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    kind, _, number = name.partition(":")
    if kind not in KINDS or (":" in name and not number.isdecimal()):
        raise UserError(f"unknown device {name!r}{did_you_mean(name, KINDS)}; there are {', '.join(KINDS)}")
    if kind == "cuda" and int(number or 0) >= torch.cuda.device_count():
        raise UserError(f"device {name}: torch sees {torch.cuda.device_count()} CUDA devices here; use --device cpu")
    if kind == "mps" and (int(number or 0) > 0 or not torch.backends.mps.is_available()):
        raise UserError(f"device {name}: torch sees no such Apple GPU here; use --device cpu")
    return torch.device(name)


def fast_bf16(device: torch.device) -> bool:
    """Whether bf16 matrices are multiplied faster than float32: on GPUs from Ampere on, CPUs with AMX or AVX512_BF16.

    AVX512_BF16 without AMX (AMD from Zen 4 on), two cores: a step of the tiny network takes 78 instead of 113 ms, a
    step of ResNet-18 818 instead of 1,371. Apple's GPUs compute in float32: bf16 is not measured there.
    """
    if device.type == "cuda":
        return torch.cuda.is_bf16_supported(including_emulation=False)
    return device.type == "cpu" and cpu_kind() in ("AMX", "AVX512 with bf16")


def cpu_kind() -> str:
    """The processor's kind, as far as speed goes: AMX, AVX512 with bf16, AVX512, AVX2, or another in torch's words.

    With ATEN_CPU_CAPABILITY=avx2 in the environment, any of them is an AVX2.
    """
    kind = torch.backends.cpu.get_cpu_capability()
    if kind != "AVX512":
        return kind
    # torch has a public function for these from 2.13 on, and none before 2.6: there bf16 is not used
    amx, bf16 = (getattr(torch.cpu, f"_is_{name}_supported", bool)() for name in ("amx_tile", "avx512_bf16"))
    return "AMX" if amx else kind + " with bf16" * bf16


def autocast(device: torch.device, enabled: bool = True):
    """A context in which matrices are multiplied in bf16, where that is fast and ``enabled``."""
    use = enabled and fast_bf16(device)
    return torch.autocast(device.type, torch.bfloat16) if use else contextlib.nullcontext()


def tune(device: torch.device) -> None:
    """Settings of the whole process, for its life, that make training on ``device`` faster.

    A GPU tries cuDNN's convolutions and keeps the fastest, as all batches have one shape, and multiplies what is left
    of float32 matrices (views, contrasts) in TF32. Its 10 bits move a cosine by less than 0.001.
    """
    if device.type == "cpu":
        keep_memory()
    elif device.type == "cuda":
        torch.backends.cudnn.benchmark = True
        torch.set_float32_matmul_precision("high")
    elif device.type == "mps":
        print("note: on Apple's GPUs nothing is measured yet; what PyTorch lacks there, the CPU does", file=sys.stderr)


def keep_memory() -> None:
    """Make the C library keep freed memory for the life of the process, instead of requesting it again every step.

    Memory requested again arrives as zeroed pages, one page fault each. With this setting a step of ResNet-18 at 32 px,
    batch 128, takes 0.92 instead of 1.03 s on two cores, and the second step is as fast as the tenth. Only glibc has
    these settings.
    """
    with contextlib.suppress(OSError, AttributeError):
        library = ctypes.CDLL("libc.so.6")
        library.mallopt(-4, 0)  # M_MMAP_MAX: no block becomes a mapping of its own, however large
        library.mallopt(-1, -1)  # M_TRIM_THRESHOLD: the heap does not shrink
