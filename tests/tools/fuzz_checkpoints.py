"""Damage checkpoints of every format and load them: `python tests/tools/fuzz_checkpoints.py COUNT SEED` prints JSON.

Each damaged file must load to the tensors that were written, or end in a ValueError or FileNotFoundError that names
it. Where a format has no checksum (all but zip), a flipped bit inside a tensor's bytes is another number: then at
most as many numbers as bytes were flipped may differ. Any other exception, a wrong tensor, more than SECONDS for
one file, or more memory than BYTES beyond the start (RLIMIT_AS, so that the allocation itself fails) is a fault.
"""

import contextlib
import json
import random
import resource
import shutil
import signal
import sys
import tempfile
import time
import warnings
from pathlib import Path

import torch

sys.path.extend([str(Path(__file__).parents[1] / folder) for folder in (".", "helpers")])  # foreign imports conftest

from foreign import FORMATS, finetuned, tiny_clip

from taujp_core.checkpoints import load_checkpoint

SECONDS, BYTES = 5, 256 * 2**20


def truncated(data: bytes, chance: random.Random) -> tuple[bytes, set[int]]:
    return data[: chance.randrange(len(data))], set()


def flipped(data: bytes, chance: random.Random) -> tuple[bytes, set[int]]:
    """One to four bits, anywhere or, for files differ in where that is, close together."""
    start, span = (0, len(data)) if chance.random() < 0.5 else (chance.randrange(len(data)), 64)
    places = {min(start + chance.randrange(span), len(data) - 1) for _ in range(chance.choice([1, 1, 2, 4]))}
    changed = bytearray(data)
    for place in places:
        changed[place] ^= 1 << chance.randrange(8)
    return bytes(changed), places


def overwritten(data: bytes, chance: random.Random) -> tuple[bytes, set[int]]:
    """A run of bytes that are all 0, all 255, or random: large lengths and counts."""
    start, length = chance.randrange(len(data)), chance.choice([1, 2, 4, 8, 16])
    filler = chance.choice([b"\0" * length, b"\xff" * length, chance.randbytes(length)])
    return (data[:start] + filler + data[start + length :])[: len(data)], set(range(start, start + length))


def inside(data: bytes, tensors: list[bytes]) -> set[int]:
    """The places of the tensors' bytes in the file."""
    places: set[int] = set()
    for tensor in tensors:
        start = data.find(tensor)
        while start >= 0:
            places |= set(range(start, start + len(tensor)))
            start = data.find(tensor, start + 1)
    return places


def peak_bytes() -> int:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024


def fuzz(name: str, count: int, seed: int, folder: Path) -> dict:
    chance, clip = random.Random(f"{seed} {name}"), tiny_clip()
    theta, target = finetuned(clip), folder / name
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        FORMATS[name](target, clip, theta)
    whole = load_checkpoint(target, clip).tau
    found = {"files": count, "equal": 0, "other_numbers": 0, "refused": 0, "faults": [], "slowest": 0.0}
    for _ in range(count):
        path = target
        if target.is_dir():
            path = target / ("config.json" if chance.random() < 0.2 else "model.safetensors")
        original = path.read_bytes()
        damaged, places = chance.choice([truncated, flipped, flipped, overwritten])(original, chance)
        path.write_bytes(damaged)
        start = time.perf_counter()
        signal.alarm(SECONDS)
        try:
            tau = load_checkpoint(target, clip).tau
            different = sum(int((tau[key] != whole[key]).sum()) for key in whole)
            # The bytes of θ are in the file, and in a linearised one those of θ₀ beside it.
            numbers = [t.numpy().tobytes() for t in [*theta.values(), *clip.theta0.values()]] if different else []
            if path.name == "model.safetensors":
                numbers = [original[8 + int.from_bytes(original[:8], "little") :]] if different else []
            if different == 0:
                found["equal"] += 1
            elif original[:2] != b"PK" and different <= len(places) and places & inside(original, numbers):
                found["other_numbers"] += 1
            else:
                found["faults"].append(f"{different} numbers differ, {sorted(places)[:4]}")
        except (ValueError, FileNotFoundError) as error:
            found["refused"] += 1
            if str(folder) not in str(error) or "\n" in str(error) or len(str(error)) > 700:
                found["faults"].append(f"not one sentence that names the file: {error!r}"[:500])
        except BaseException as error:
            found["faults"].append(f"{error!r} {sorted(places)[:4]}"[:500])
        finally:
            signal.alarm(0)
        found["slowest"] = max(found["slowest"], time.perf_counter() - start)
        path.write_bytes(original)
    with contextlib.suppress(NotADirectoryError):
        shutil.rmtree(target)
    return found


def main(count: int, seed: int) -> dict:
    def too_slow(*_):
        raise TimeoutError(f"more than {SECONDS} s")

    signal.signal(signal.SIGALRM, too_slow)
    torch.set_num_threads(1)
    report = {}
    with tempfile.TemporaryDirectory() as folder:
        # The first file of each kind warms caches up; then the process may not grow any more.
        for name in FORMATS:
            fuzz(name, 1, seed, Path(folder))
        virtual = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
        resource.setrlimit(resource.RLIMIT_AS, (virtual + BYTES, virtual + BYTES))
        start = peak_bytes()
        for name in FORMATS:
            report[name] = fuzz(name, count, seed, Path(folder))
    return {"formats": report, "grown_bytes": peak_bytes() - start}


if __name__ == "__main__":
    print(json.dumps(main(int(sys.argv[1]), int(sys.argv[2]))))
