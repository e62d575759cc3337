"""What do published files call the parameters of an image tower?

A layout maps each name of θ₀ to the names in a file whose tensors, one below the other, are that parameter:
one name as a rule, three for the query, key and value that Hugging Face keeps apart. Names in files stand behind
a prefix (`module.`, `model.visual.`, `image_encoder.model.visual.`, `vision_model.` …), which `tower_prefixes` finds.
"""

import re
from collections import Counter
from collections.abc import Iterable

Layout = dict[str, tuple[str, ...]]

# open_clip's names of a vision transformer's parts and those of transformers' CLIPVisionModel.
HUGGING_FACE = {
    "class_embedding": "embeddings.class_embedding",
    "positional_embedding": "embeddings.position_embedding.weight",
    "conv1.weight": "embeddings.patch_embedding.weight",
    "ln_pre": "pre_layrnorm",
    "ln_post": "post_layernorm",
    "ln_1": "layer_norm1",
    "ln_2": "layer_norm2",
    "attn.out_proj": "self_attn.out_proj",
    "mlp.c_fc": "mlp.fc1",
    "mlp.c_proj": "mlp.fc2",
}
# Of the text tower beside it, what stands elsewhere than in the blocks.
HUGGING_FACE_TEXT = {
    "token_embedding.weight": "text_model.embeddings.token_embedding.weight",
    "positional_embedding": "text_model.embeddings.position_embedding.weight",
    "ln_final.weight": "text_model.final_layer_norm.weight",
    "ln_final.bias": "text_model.final_layer_norm.bias",
    "text_projection": "text_projection.weight",
}
# Outside of the tower, and transposed: CLIPVisionModel has none.
PROJECTION = "visual_projection.weight"
TRANSPOSED = ("visual.proj", "text_projection")  # open_clip's names
# Blocks as OpenAI's CLIP and open_clip 1 define them; since open_clip 2 ln_1 comes before attn.
OLD_BLOCK = ("attn", "ln_1", "mlp", "ln_2")


def open_clip_layout(names: Iterable[str]) -> Layout:
    """θ₀'s names start with `visual.`; the rest is what open_clip's image tower calls them."""
    return {name: (name.removeprefix("visual."),) for name in names}


def hugging_face_layout(names: Iterable[str]) -> Layout:
    """Without the projection. Raises ValueError for a tower that is not CLIP's plain vision transformer."""
    layout: Layout = {}
    for name in names:
        own = name.removeprefix("visual.")
        if own == "proj":
            continue
        found = hugging_face_names(own)
        if not found:
            raise ValueError(f"Hugging Face's CLIPVisionModel has no place for {own}")
        layout[name] = found
    return layout


def hugging_face_text_layout(names: Iterable[str]) -> Layout:
    """Of CLIP's plain text transformer, in a whole CLIPModel; without the names that it does not have."""
    layout: Layout = {}
    for name in names:
        if name in HUGGING_FACE_TEXT:
            layout[name] = (HUGGING_FACE_TEXT[name],)
        elif name.startswith("transformer."):
            layout[name] = tuple(f"text_model.{part}" for part in hugging_face_names(name))
    return layout


def hugging_face_names(own: str) -> tuple[str, ...]:
    """What transformers calls a parameter of a transformer, or its three parts; nothing for one that it does not have."""
    block = re.fullmatch(r"transformer\.resblocks\.(\d+)\.(.+)", own)
    place, part = (f"encoder.layers.{block[1]}.", block[2]) if block else ("", own)
    module, _, kind = part.rpartition(".")
    if part in ("attn.in_proj_weight", "attn.in_proj_bias"):
        kind = part.removeprefix("attn.in_proj_")
        return tuple(f"{place}self_attn.{which}_proj.{kind}" for which in "qkv")
    if part in HUGGING_FACE:
        return (place + HUGGING_FACE[part],)
    if module in HUGGING_FACE and kind in ("weight", "bias"):
        return (f"{place}{HUGGING_FACE[module]}.{kind}",)
    return ()


def tower_prefixes(keys: Iterable[str], layout: Layout) -> tuple[list[str], int]:
    """The prefix behind which most of the layout's names stand in a file, or several, and how many names do."""
    names = {name for parts in layout.values() for name in parts}
    deepest = max(name.count(".") for name in names) + 1
    votes: Counter[str] = Counter()
    for key in keys:
        parts = key.split(".")
        for start in range(max(0, len(parts) - deepest), len(parts)):
            name = ".".join(parts[start:])
            if name in names:
                votes[key.removesuffix(name)] += 1
    most = max(votes.values(), default=0)
    return [prefix for prefix, count in votes.items() if count == most], most


def parameter_orders(names: Iterable[str]) -> list[list[str]]:
    """The orders in which versions of open_clip list these parameters: this one's, and that with OLD_BLOCK."""
    names = list(names)

    def old(name: str) -> tuple[int, ...]:
        block = re.fullmatch(r"visual\.transformer\.resblocks\.(\d+)\.(\w+)\..+", name)
        if not block or block[2] not in OLD_BLOCK:
            return (-1, -1)
        return (int(block[1]), OLD_BLOCK.index(block[2]))

    blocks = [name for name in names if old(name) != (-1, -1)]
    ordered = iter(sorted(blocks, key=old))
    return [names, [next(ordered) if name in set(blocks) else name for name in names]]
