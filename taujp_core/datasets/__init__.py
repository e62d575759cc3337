"""Where do images and labels come from?

Images and labels of a task: train, validation and test splits (`load`), each a `Split`. The tasks of `mini` are shipped or rendered, the
benchmark's are in folders or copies of Hugging Face repositories below TAUJP_DATA; one's own are class folders, a
repository of the hub, tables or in memory: each is a file of `sources`. Pictures are decoded while they are used
(`pictures`). `python -m taujp_core.datasets` checks and downloads them.
"""

from .identity import task_identity
from .image_files import load_images
from .load import load_split, steps_of_epochs
from .split import Split, reservoir

__all__ = ["Split", "load_images", "load_split", "reservoir", "steps_of_epochs", "task_identity"]
