"""Flax layers that compute with this library's own convolution."""

from typing import Any

from flax import linen as nn

from wgan_jax.convolution.primitive import conv_general_dilated


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
