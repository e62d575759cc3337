"""How do checkpoints of others come in, and edited models go out?

Checkpoints of others to task vectors, and edited models to formats that others read.

| read | as published by |
|---|---|
| state dicts of open_clip, `.pt` or `.safetensors`, bare or inside a dictionary, whole CLIP or image tower, with any prefix | open_clip, and repositories that build on it |
| the same in `.ckpt`, under `state_dict` | Lightning |
| the same in several files (shards) that an index lists | transformers, accelerate |
| whole pickled modules, zip, legacy or bare pickle | task_vectors (Ilharco et al. 2023) and the repositories that follow it |
| lists `params.N` and `params0.N` of linearised models | tangent_task_arithmetic (Ortiz-Jimenez et al. 2023), tau-Jp |
| `CLIPVisionModel`, `CLIPVisionModelWithProjection`, `CLIPForImageClassification` and `CLIPModel`, folder or file; what `Trainer` saves of them | Hugging Face |
| task vectors of this project | |

Nothing of a foreign file is executed (`pickles.py`). A damaged file is a ValueError that names it, or it loads as
what its bytes say: zip files carry checksums; legacy and bare pickles and safetensors do not, so that there a
flipped bit in a number is another number.
"""

from .folders import load_checkpoints
from .published import families, load_family
from .reading import load_checkpoint
from .writing import merge_record, save_hugging_face, save_open_clip

__all__ = [
    "families",
    "load_checkpoint",
    "load_checkpoints",
    "load_family",
    "merge_record",
    "save_hugging_face",
    "save_open_clip",
]
