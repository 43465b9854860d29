"""Training steps with strided 1x1 convolutions sliced (SlicedConv) and as they were: ``python sliced.py``.

Prints whether outputs and gradients are equal bit for bit, and the median ratio of the processor's time.
"""

import statistics
import time

import torch

from cdlearn.backbones import backbone
from cdlearn.runtime.fast_small_convs import SlicedConv


def step(net, x, amp) -> tuple[torch.Tensor, float]:
    """One step; the output, and the seconds of this process."""
    net.zero_grad()
    began = time.process_time()
    with torch.autocast("cpu", torch.bfloat16, enabled=amp):
        y = net(x)
    y.float().square().sum().backward()
    return y, time.process_time() - began


def main() -> None:
    for name, images in (("tiny", 256), ("resnet18", 32)):
        for amp in (True, False):
            nets = []
            for sliced in (True, False):
                torch.manual_seed(0)
                nets.append(backbone(name).to(memory_format=torch.channels_last))
                for module in nets[-1].modules() if not sliced else ():
                    if isinstance(module, SlicedConv):
                        module.pointwise = lambda: 1
            x = torch.rand(images, 3, 32, 32).contiguous(memory_format=torch.channels_last)
            outputs = [step(net, x, amp)[0] for net in nets]
            pairs = zip(*(net.parameters() for net in nets), strict=True)
            equal = torch.equal(*outputs) and all(torch.equal(a.grad, b.grad) for a, b in pairs)
            after, before = zip(*([step(net, x, amp)[1] for net in nets] for _ in range(9)), strict=True)
            ratio = statistics.median(after) / statistics.median(before)
            print(f"{name} {'bf16' if amp else 'float32'}: equal {equal}, time {ratio:.2f}")


if __name__ == "__main__":
    main()
