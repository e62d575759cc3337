"""How many passes does a forecast take?"""

from collections.abc import Sequence

from .call import plans_tried
from .evidence import expert_of


def passes(plan: Sequence[float], images: int, linearised: bool) -> dict[str, int]:
    """forward: passes of one image through the encoder; products: Jacobian products of one image with one vector.

    Of `forecast` for a plan (a coefficient for each vector) with so many images per task and none labelled. An encoder runs for each task
    as its expert, as the plan, as the plan times each of SCALES, and as the plan without each other vector: for T vectors T·(T + 10)
    passes per image of a task, fewer where two of these are one. The linearised model answers all from one pass with T products.
    """
    vectors = len(plan)
    if linearised:
        return {"forward": vectors * images, "products": vectors**2 * images}
    different = [
        {expert_of(own, vectors), *map(tuple, plans_tried(plan, own, vectors).values())} for own in range(vectors)
    ]
    return {"forward": sum(map(len, different)) * images, "products": 0}
