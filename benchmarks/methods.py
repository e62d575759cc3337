"""What does a training step cost by each method? One model, one batch, in turn; ratios to a step of `linear`.

    python benchmarks/methods.py                                   ViT-B-32, 128 images: about ten minutes on two cores
    python benchmarks/methods.py --model mini --images 64          a minute
    python benchmarks/methods.py tak taujp-strict --json FILE      some methods

A step is the gradient of one batch; the optimiser's part is the same for all. Weights (but those of `mini`), images, labels and
vectors are random. PENALISED says how many images of other data sets a penalised step has beside a batch of 128, in both
common recipes: the paper's, and a quarter of the batch. `floor` counts matrix products per layer: a linearised step has five
per image, its penalty five per penalised image; TAK's Kronecker factors take d_out²·d_in + d_out·d_in² multiplications per matrix.
"""

import argparse
import functools
import runpy
from pathlib import Path

import torch

from taujp_core.checks import one_of
from taujp_core.datasets.split import Split
from taujp_core.files import write_json
from taujp_core.methods import METHODS, Batch, Sight, find_method
from taujp_core.models import Clip
from taujp_core.parameters import device_of
from taujp_core.pretrained import load_clip
from taujp_core.provenance import provenance

RACE = runpy.run_path(str(Path(__file__).with_name("jacobian.py")))
Sides, medians = RACE["Sides"], RACE["medians"]
REFERENCE = "linear"
RACED = [REFERENCE, "tak", "orthoreg-linear", "taujp-efficient", "standard"]
PENALISED = {"an eighth": 8, "a quarter": 4}  # of the batch
LOOKED_AT = 8  # images of another data set that TAK's factors are of: their number does not change a step


def steps(clip: Clip, names: list[str], images: int) -> dict[str, functools.partial]:
    """By method, and by share where a step has penalised images: what computes a step's gradient."""
    sides, found = Sides(clip, images, LOOKED_AT), {}
    split = Split(sides.measured.cpu(), sides.answers.cpu(), fair=True)
    for name in names:
        method = find_method(name)
        options = {key: parameter.default for key, parameter in method.parameters.items()}
        sight = Sight(clip, sides.head, split, split, [split], 0, options, 100)
        prepared = method.prepare(sight) if method.prepare else None
        shares = PENALISED if method.penalised else {"": 0}
        for share, part in shares.items():
            others = sides.images[: images // part] if part else sides.images[:0]
            batch = Batch(sides.images, sides.labels, others, step=1)
            step = functools.partial(method.gradient, clip, sides.head, sides.vectors[0], batch, prepared, **options)
            found[f"{name}, {share} penalised" if share else name] = step
    return found


def kronecker_share(clip: Clip, images: int) -> float:
    """TAK's multiplications per step over those of a linearised step: matrices alone, which are most of both."""
    maps = {name: value for name, value in clip.theta0.items() if value.ndim == 2 and name.endswith("weight")}
    tokens = clip.theta0["visual.positional_embedding"].shape[0]
    step = 5 * images * tokens * sum(value.numel() for value in maps.values())
    return sum(value.numel() * sum(value.shape) for value in maps.values()) / step


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("methods", nargs="*", help=f"default: {', '.join(RACED)}")
    parser.add_argument("--model", default="ViT-B-32")
    parser.add_argument("--images", type=int, default=128, help="of a step")
    parser.add_argument("--rounds", type=int, default=3, help="that are counted, after one that is not")
    parser.add_argument("--device", default="cuda" if torch.cuda.is_available() else "cpu")
    parser.add_argument("--json", type=Path, help="write the rows, hardware and versions to this file")
    asked = parser.parse_args()
    for name in asked.methods:
        one_of("method", name, METHODS)
    where = provenance()  # of the code that is loaded, whatever is edited meanwhile
    clip = load_clip(asked.model, None if asked.model == "mini" else "random", asked.device)
    names = list(dict.fromkeys([REFERENCE, *(asked.methods or RACED)]))
    found = medians(steps(clip, names, asked.images), asked.rounds, device_of(clip.theta0))
    floors = {f"taujp-efficient, {share} penalised": 1 + 1 / part for share, part in PENALISED.items()}
    floors |= {"tak": 1 + kronecker_share(clip, asked.images), "standard": 3 / 5}
    rows = []
    print(f"{asked.model}, {asked.images} images a step, {asked.device}, float32, {asked.rounds} rounds")
    for name, seconds in found.items():
        row = {"step": name, "seconds": seconds, "ratio": seconds / found[REFERENCE], "floor": floors.get(name)}
        print(
            f"  {name:38s} {row['ratio']:5.2f} of a step of {REFERENCE}, floor {row['floor'] or 1:.2f}, {seconds:.2f} s"
        )
        rows.append(row)
    if asked.json:
        sizes = {"encoder": asked.model, "images": asked.images, "rounds": asked.rounds, "device": asked.device}
        write_json(asked.json, {**where, **sizes, "rows": rows})


if __name__ == "__main__":
    main()
