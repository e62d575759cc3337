"""Threads that wait spin little, in whatever imports this package first, unless somebody has said otherwise."""

import os
import subprocess
import sys

import pytest


@pytest.mark.parametrize("own", [{}, {"GOMP_SPINCOUNT": "77"}, {"OMP_WAIT_POLICY": "active"}])
def test_openmp_is_told_before_pytorch_loads_it(own):
    rest = {key: value for key, value in os.environ.items() if key not in ("GOMP_SPINCOUNT", "OMP_WAIT_POLICY")}
    done = subprocess.run(
        [sys.executable, "-c", "import taujp_core, torch"],
        env={**rest, "OMP_DISPLAY_ENV": "verbose", **own},
        capture_output=True,
        text=True,
        check=True,
    )
    shown = dict(line.strip().split(" = ", 1) for line in done.stderr.splitlines() if " = " in line)
    if "GOMP_SPINCOUNT" not in shown:
        pytest.skip("PyTorch's OpenMP is not GCC's here")
    expected = {"77": "'77'", None: "'1000'"}[own.get("GOMP_SPINCOUNT")]
    assert (shown["GOMP_SPINCOUNT"] == expected) == (own != {"OMP_WAIT_POLICY": "active"})
