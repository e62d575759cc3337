"""What do merges of many vectors of a large encoder hold in memory? Twenty of ViT-L/14 are 24 GB in float32.

    python benchmarks/many_vectors.py --json FILE                    all merges of twenty vectors (not tried)
    python benchmarks/many_vectors.py TIES PCB DARE --json FILE      some of them
    python benchmarks/many_vectors.py RegMean --blocks 2             of an encoder with the first two blocks alone

Vectors are random, of the size of fine-tuned ones, and go through the same door as checkpoints that are read. Images are
random, IMAGES per task, for memory is asked for and not accuracy; our merge makes one round. `mib` is the most memory that the
process held, without mapped files; the model and the images are about 5 GB of it.
"""

import argparse
from collections.abc import Sequence
from pathlib import Path

import torch

from analysis.merging.arena import OURS, held_bytes, measured
from analysis.merging.merge import merge
from analysis.merging.rivals import RIVALS, Evidence, find_rival
from taujp_core.applications.encoder import ENCODER
from taujp_core.checks import one_of
from taujp_core.files import write_json
from taujp_core.mapped import mapped
from taujp_core.models import Clip
from taujp_core.parameters import Parameters, bytes_of
from taujp_core.pretrained import load_clip
from taujp_core.provenance import provenance
from taujp_core.task_vectors import TaskVector

IMAGES = 8  # per task
CLASSES = 10  # per task
SIZE = 0.003  # standard deviation of a vector's entries


def shortened(clip: Clip, blocks: int) -> Clip:
    """The encoder with its first blocks alone."""
    visual = clip.encoder.visual
    visual.transformer.resblocks = visual.transformer.resblocks[:blocks]
    names = [name for name, _ in clip.encoder.named_parameters()]
    theta0 = {name: clip.theta0[name] for name in names}
    return Clip(clip.name, clip.model, clip.tokenizer, clip.encoder, theta0, f"{clip.fingerprint}-{blocks}", clip.image_size, clip.logit_scale)  # fmt: skip


def drawn(theta0: Parameters, seed: int) -> Parameters:
    generator = torch.Generator().manual_seed(seed)
    return mapped({name: SIZE * torch.randn(value.shape, generator=generator) for name, value in theta0.items()})


def merged(name: str, clip: Clip, vectors: Sequence[TaskVector], evidence: Evidence) -> object:
    if name == OURS:
        images = {vector.task: own for vector, own in zip(vectors, evidence.images, strict=True)}
        return merge(vectors, clip, images, rounds=1)
    return find_rival(name).merged([vector.tau for vector in vectors], evidence)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("merges", nargs="*", help="names of merges; none: all")
    parser.add_argument("--model", default="ViT-L-14", help="an architecture of open_clip, with random weights")
    parser.add_argument("--vectors", type=int, default=20)
    parser.add_argument("--blocks", type=int, default=0, help="of the encoder; 0: all")
    parser.add_argument("--json", type=Path, help="file for the figures")
    asked = parser.parse_args()
    names = asked.merges or [*RIVALS, OURS]
    for name in names:
        one_of("merge", name, [*RIVALS, OURS])
    clip = load_clip(asked.model, "random", device="cpu")
    clip = shortened(clip, asked.blocks) if asked.blocks else clip
    vectors = [
        TaskVector(drawn(clip.theta0, k), clip.fingerprint, f"task {k}", "standard") for k in range(asked.vectors)
    ]
    generator = torch.Generator().manual_seed(0)
    side = clip.image_size
    images = [torch.randint(256, (IMAGES, 3, side, side), generator=generator, dtype=torch.uint8) for _ in vectors]
    width = clip.theta0["visual.proj"].shape[1]
    heads = [torch.randn(width, CLASSES, generator=generator) for _ in vectors]
    evidence, rows = Evidence(clip, ENCODER, images, heads), []
    print(f"{len(vectors)} vectors of {clip.name}: {len(vectors) * bytes_of(clip.theta0) / 2**20:.0f} MiB")
    for name in names:
        before = held_bytes() / 2**20
        _, seconds, beyond = measured(merged, name, clip, vectors, evidence)
        rows.append({"merge": name, "mib": round(before + beyond), "seconds": round(seconds, 1)})
        print(f"{name}: {before + beyond:.0f} MiB, {seconds:.0f} s")
        if asked.json:
            sizes = {"model": clip.name, "blocks": asked.blocks, "vectors": len(vectors), "images": IMAGES}
            write_json(
                asked.json,
                {**sizes, "vector_mib": round(bytes_of(clip.theta0) / 2**20), "rows": rows, "provenance": provenance()},
            )


if __name__ == "__main__":
    main()
