"""Are these the images that an encoder takes? Checks of what people hand in; nothing of the domain is known here."""

import torch
from torch import Tensor


def check_images(title: str, images: object, size: int) -> None:
    """Raises TypeError unless `images` are bytes, ValueError unless they are [n, 3, size, size]."""
    if not isinstance(images, Tensor):
        raise TypeError(f"{title} must be a tensor of bytes [n, 3, {size}, {size}], not {type(images).__name__}")
    check_bytes(title, images)
    if images.shape[1:] != (3, size, size):
        hint = ": channels come first" if images.shape[1:] == (size, size, 3) else ""
        raise ValueError(f"{title} must have the shape [n, 3, {size}, {size}], not {[*images.shape]}{hint}")


def check_bytes(title: str, images: Tensor) -> None:
    """Floats from 0 to 1 would be taken for nearly black bytes: CLIP's mean and scale are part of the encoder."""
    if images.dtype != torch.uint8:
        hint = ": leave out ToTensor and Normalize" if images.is_floating_point() else ""
        raise TypeError(f"{title} must be bytes (uint8, 0 to 255), not {images.dtype}{hint}")
