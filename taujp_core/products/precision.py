"""In which number format are matrix products computed? float32, TF32 on NVIDIA GPUs, bfloat16 by autocast.

Parameters, τ, losses and results stay float32 in all of them. Relative errors against float64 are in
benchmarks/results.
"""

from collections.abc import Iterator
from contextlib import contextmanager

import torch

from ..checks import one_of

PRECISIONS = ("float32", "tf32", "bf16")


@contextmanager
def precision(name: str, device: torch.device) -> Iterator[None]:
    """Matrix products and convolutions inside are computed in this format."""
    check_precision(name, device)
    products, convolutions = torch.get_float32_matmul_precision(), torch.backends.cudnn.allow_tf32
    torch.set_float32_matmul_precision("high" if name == "tf32" else "highest")
    torch.backends.cudnn.allow_tf32 = name == "tf32"
    try:
        with torch.autocast(device.type, torch.bfloat16, enabled=name == "bf16"):
            yield
    finally:
        torch.set_float32_matmul_precision(products)
        torch.backends.cudnn.allow_tf32 = convolutions


def check_precision(name: str, device: torch.device) -> None:
    """Raises ValueError for an unknown format, and for one that the device does not have."""
    one_of("precision", name, PRECISIONS)
    if name == "tf32" and device.type != "cuda":
        raise ValueError(f"precision tf32 needs an NVIDIA GPU, not {device}")
