"""The same networks in PyTorch, as one writes them, and our parameters in them.

PyTorch is in the extra `benchmark`: import this module late.
"""

import itertools
from collections.abc import Iterator

import jax
import numpy as np
import torch
from torch import Tensor, nn

from wgan_jax import Params


class DCGANCritic(nn.Module):
  """`wgan_jax.networks.dcgan.DCGANCritic` for a batch, [batch, channels, height, width]."""

  def __init__(self, image_shape: tuple[int, int, int], width: int, n_dense: int = 1):
    super().__init__()
    height, breadth, channels = image_shape
    self.conv_0 = nn.Conv2d(channels, width, 4, 2, 1)
    self.conv_1 = nn.Conv2d(width, 2 * width, 4, 2, 1)
    self.dense_0 = nn.Linear(height // 4 * (breadth // 4) * 2 * width, n_dense)

  def forward(self, images: Tensor) -> Tensor:
    x = nn.functional.leaky_relu(self.conv_0(images), 0.2)
    x = nn.functional.leaky_relu(self.conv_1(x), 0.2)
    return self.score(self.dense_0(x.flatten(1)))[:, 0]

  def score(self, x: Tensor) -> Tensor:
    return x


class DCGANGenerator(nn.Module):
  """`wgan_jax.networks.dcgan.DCGANGenerator`, in training mode."""

  def __init__(self, image_shape: tuple[int, int, int], latent_dim: int, width: int):
    super().__init__()
    height, breadth, channels = image_shape
    self._start = 2 * width, height // 4, breadth // 4
    self.dense_0 = nn.Linear(latent_dim, np.prod(self._start).item(), bias=False)
    self.norm_0 = nn.BatchNorm2d(2 * width)
    self.conv_0 = nn.ConvTranspose2d(2 * width, width, 4, 2, 1, bias=False)
    self.norm_1 = nn.BatchNorm2d(width)
    self.conv_1 = nn.ConvTranspose2d(width, channels, 4, 2, 1)

  def forward(self, latents: Tensor) -> Tensor:
    x = self.dense_0(latents).unflatten(1, self._start)
    x = nn.functional.relu(self.norm_0(x))
    x = nn.functional.relu(self.norm_1(self.conv_0(x)))
    return torch.tanh(self.conv_1(x))


class InfoGANCritic(DCGANCritic):
  """`wgan_jax.networks.infogan.InfoGANCritic` for a batch, [batch, channels, height, width]."""

  def __init__(self, image_shape: tuple[int, int, int], width: int):
    super().__init__(image_shape, width, n_dense=16 * width)
    self.dense_1 = nn.Linear(16 * width, 1)

  def score(self, x: Tensor) -> Tensor:
    return self.dense_1(nn.functional.leaky_relu(x, 0.2))


class InfoGANGenerator(nn.Module):
  """`wgan_jax.networks.infogan.InfoGANGenerator`, in training mode."""

  def __init__(
    self, image_shape: tuple[int, int, int], latent_dim: int, width: int, n_categories: int = 32
  ):
    super().__init__()
    height, breadth, channels = image_shape
    self._n_categories = n_categories
    self._start = 2 * width, height // 4, breadth // 4
    self.dense_0 = nn.Linear(n_categories + latent_dim, 16 * width, bias=False)
    self.norm_0 = nn.BatchNorm1d(16 * width)
    self.dense_1 = nn.Linear(16 * width, np.prod(self._start).item(), bias=False)
    self.norm_1 = nn.BatchNorm2d(2 * width)
    self.conv_0 = nn.ConvTranspose2d(2 * width, width, 4, 2, 1, bias=False)
    self.norm_2 = nn.BatchNorm2d(width)
    self.conv_1 = nn.ConvTranspose2d(width, channels, 4, 2, 1)

  def forward(self, latents: Tensor) -> Tensor:
    category, normal = latents.tensor_split([self._n_categories], dim=1)
    code = 10 * nn.functional.one_hot(category.argmax(1), self._n_categories).to(latents.dtype)
    x = nn.functional.relu(self.norm_0(self.dense_0(torch.cat([code, normal], dim=1))))
    x = self.dense_1(x).unflatten(1, self._start)
    x = nn.functional.relu(self.norm_1(x))
    x = nn.functional.relu(self.norm_2(self.conv_0(x)))
    return torch.tanh(self.conv_1(x))


NETWORKS = {"dcgan": (DCGANCritic, DCGANGenerator), "infogan": (InfoGANCritic, InfoGANGenerator)}
"""Critic and generator of images, by architecture."""


class MLP(nn.Module):
  """`wgan_jax.networks.mlp.MLP`: ReLU between dense layers; a critic's one output is a score."""

  def __init__(self, sizes: list[int], critic: bool):
    super().__init__()
    self.layers = nn.ModuleList(nn.Linear(a, b) for a, b in itertools.pairwise(sizes))
    self._critic = critic

  def forward(self, x: Tensor) -> Tensor:
    for layer in self.layers[:-1]:
      x = nn.functional.relu(layer(x))
    x = self.layers[-1](x)
    return x[:, 0] if self._critic else x


def load(network: nn.Module, params: Params) -> None:
  """Copies our parameters into all of a network's.

  Args:
    network: one of this module's.
    params: of the network of the same name in `wgan_jax.networks`.
  """
  for parameter, array in pairs(network, jax.tree.map(np.asarray, params)):
    with torch.no_grad():
      parameter.copy_(torch.from_numpy(array.copy()))


def pairs(network: nn.Module, params: Params) -> Iterator[tuple[nn.Parameter, np.ndarray]]:
  """Yields each parameter of a network with our array for it, in PyTorch's layout."""

  def layer(module, kernel, ours):
    yield module.weight, kernel
    if module.bias is not None:
      yield module.bias, ours["bias"]

  denses = sorted(name for name in params if name.startswith("Dense"))
  generates = isinstance(network, DCGANGenerator | InfoGANGenerator)
  for name, ours in params.items():
    kind, place = name.split("_")
    if isinstance(network, MLP):
      yield from layer(network.layers[int(place)], ours["kernel"].T, ours)
    elif kind == "Conv":
      module = getattr(network, f"conv_{place}")
      if isinstance(module, nn.ConvTranspose2d):
        kernel = ours["kernel"][::-1, ::-1].transpose(2, 3, 0, 1)
      else:
        kernel = ours["kernel"].transpose(3, 2, 0, 1)
      yield from layer(module, kernel, ours)
    elif kind == "Dense":
      kernel = ours["kernel"].T
      # Of [pixels, channels] here, [channels, pixels] there.
      if generates and name == denses[-1]:
        channels = network.conv_0.in_channels
        kernel = kernel.take(np.arange(len(kernel)).reshape(-1, channels).T.ravel(), 0)
      elif not generates and name == denses[0]:
        channels = network.conv_1.out_channels
        kernel = kernel.take(np.arange(kernel.shape[1]).reshape(-1, channels).T.ravel(), 1)
      yield from layer(getattr(network, f"dense_{place}"), kernel, ours)
    else:
      norm = getattr(network, f"norm_{place}")
      yield norm.weight, ours["scale"]
      yield norm.bias, ours["bias"]
