"""Flax layers for images that compute with this library's own convolution."""

import functools
from typing import Any

import jax
from flax import linen as nn

from wgan_jax.convolution.primitive import conv_general_dilated

SMALLEST, LARGEST = 16, 128
"""Pixels along the height or width of an image that `dcgan` and `resnet` take."""

leaky_relu = functools.partial(nn.leaky_relu, negative_slope=0.2)
"""The activation of critics of images (Radford et al., 2015, arXiv 1511.06434, section 3)."""


def check_image_shape(image_shape: tuple[int, int, int]) -> None:
  """Refuses images that two strides of 2 do not divide.

  Raises:
    ValueError: the height or width is not a multiple of 4.
  """
  if image_shape[0] % 4 or image_shape[1] % 4:
    raise ValueError(f"image height and width must be multiples of 4, got {image_shape}")


def image_sizes(image_shape: tuple[int, int, int]) -> list[tuple[int, int]]:
  """Sizes of an image that is halved until its shorter side has 4 to 8 pixels.

  Halves are rounded up, as a convolution of stride 2 with 'SAME' rounds them. There are
  floor(log2(shorter side / 4)) of them.

  Args:
    image_shape: (height, width, channels), 16 to 128 pixels each; odd and not square is allowed.

  Returns:
    (height, width) of every size, the smallest first and the image's own last.

  Raises:
    ValueError: the height or width is below 16 or above 128.
  """
  height, width, _ = image_shape
  if not all(SMALLEST <= side <= LARGEST for side in (height, width)):
    raise ValueError(
      f"image height and width must be {SMALLEST} to {LARGEST} pixels, got {tuple(image_shape)}"
    )
  n = (min(height, width) // 4).bit_length() - 1
  return [(-(-height // 2**k), -(-width // 2**k)) for k in range(n, -1, -1)]


def crop(images: jax.Array, size: tuple[int, int]) -> jax.Array:
  """Leaves out the last rows and columns of images that were doubled beyond a size.

  Args:
    images: [..., height, width, channels].
    size: the height and width to keep.

  Returns:
    [..., *size, channels].
  """
  return images if images.shape[-3:-1] == size else images[..., : size[0], : size[1], :]


def conv(
  features: int, kernel: int, stride: int = 1, *, padding: Any = "SAME", **options: Any
) -> nn.Conv:
  """A `flax.linen.Conv` for images, computed as a matrix product.

  Args:
    features: number of output channels.
    kernel: height and width of the kernel.
    stride: stride along both axes.
    padding: as in `flax.linen.Conv`.
    **options: `use_bias`, `kernel_init` and the other fields of `flax.linen.Conv`.

  Returns:
    The layer, [..., height, width, in] -> [..., height', width', features].
  """
  options = {"conv_general_dilated": conv_general_dilated, **options}
  return nn.Conv(features, (kernel, kernel), stride, padding, **options)


def conv_transpose(
  features: int, kernel: int, stride: int = 1, *, padding: Any = "SAME", **options: Any
) -> nn.Conv:
  """A transposed convolution for images, computed as a matrix product.

  It equals `flax.linen.ConvTranspose` and `jax.lax.conv_transpose`: the kernel is not flipped.

  Args:
    features: number of output channels.
    kernel: height and width of the kernel.
    stride: height' / height and width' / width with 'SAME'.
    padding: 'SAME', 'VALID', or a (low, high) pair for each axis of the dilated images.
    **options: `use_bias`, `kernel_init` and the other fields of `flax.linen.Conv`.

  Returns:
    The layer, [..., height, width, in] -> [..., height', width', features].
  """
  if padding == "SAME":
    total = kernel + stride - 2
    low = min(kernel - 1, (total + 1) // 2)
    padding = [(low, total - low)] * 2
  elif padding == "VALID":
    padding = [(kernel - 1, max(kernel, stride) - 1)] * 2
  return conv(features, kernel, padding=padding, input_dilation=stride, **options)
