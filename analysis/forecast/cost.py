"""How many passes does a forecast take?"""

from collections.abc import Sequence

from .call import SCALES, images_searched, plans_tried, scaled
from .evidence import expert_of


def passes(plan: Sequence[float], images: int, linearised: bool) -> dict[str, int]:
    """forward: passes of one image through the encoder; products: Jacobian products of one image with one vector.

    Of `forecast` for a plan (a coefficient for each vector) with so many images per task and none labelled. An encoder runs for each task
    on the images searched, TRIED/T for T vectors, as its expert and as the plan times each of SCALES; and on all as its expert, as the
    plan, as the plan times the best of the scales, and as the plan without each other vector: T·(T + 2)·images + 10·TRIED passes,
    fewer where two of these are one. Of TRIED/T images or fewer all are asked for every scale: T·(T + 10)·images. The linearised model
    answers all from one pass with T products.
    """
    vectors = len(plan)
    if linearised:
        return {"forward": vectors * images, "products": vectors**2 * images}
    searched = images_searched(vectors, images, linearised)
    scales = SCALES[:1] if searched else SCALES
    forward = 0
    for own in range(vectors):
        asked = {expert_of(own, vectors), *map(tuple, plans_tried(plan, own, scales, vectors).values())}
        tried = {expert_of(own, vectors), *map(tuple, scaled(plan, SCALES).values())}
        forward += len(asked) * images + len(tried) * searched
    return {"forward": forward, "products": 0}
