"""How does `make lab` open notebooks that are not marked as modified?

JupyterLab writes the name of the kernel and the version of Python into a notebook when its kernel starts, and marks the notebook
as modified if something else stood there. This manager of contents hands out what JupyterLab is about to write.
"""

import platform
from typing import Any

from jupyter_client.kernelspec import KernelSpecManager
from jupyter_server.services.contents.largefilemanager import AsyncLargeFileManager

KERNEL = "python3"
LANGUAGE = {
    "codemirror_mode": {"name": "ipython", "version": 3},
    "file_extension": ".py",
    "mimetype": "text/x-python",
    "name": "python",
    "nbconvert_exporter": "python",
    "pygments_lexer": "ipython3",
    "version": platform.python_version(),
}  # what ipykernel says of itself


class Notebooks(AsyncLargeFileManager):
    """Files as they are, but for the two entries in the metadata of notebooks of KERNEL."""

    async def get(self, path: str, content: bool = True, **options: Any) -> dict:
        model = await super().get(path, content=content, **options)
        if model["type"] == "notebook" and content:
            metadata = model["content"]["metadata"]
            if metadata.get("kernelspec", {}).get("name") == KERNEL:
                spec = KernelSpecManager().get_kernel_spec(KERNEL)
                named = {"display_name": spec.display_name, "language": spec.language, "name": KERNEL}
                metadata |= {"kernelspec": named, "language_info": LANGUAGE}
        return model
