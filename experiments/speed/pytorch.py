"""The same networks and the same step in eager PyTorch, as one writes it, to be compared with.

Real and fake go through the critic in one pass, gradients are freed rather than zeroed, no graph is
kept for what is not updated, Adam is fused. PyTorch is in the extra `benchmark`: import this module
late.
"""

import functools
import itertools
from collections.abc import Callable

import jax
import numpy as np
import torch
from torch import Tensor, nn

from experiments.spec.datasets import Dataset
from experiments.spec.settings import Settings
from experiments.speed.turns import Way

LAYOUTS = {"contiguous": torch.contiguous_format, "channels_last": torch.channels_last}
_POOL = 65536  # Points drawn once, among which each batch chooses.


class DCGANCritic(nn.Module):
  """`wgan_jax.networks.dcgan.DCGANCritic` for a batch, [batch, channels, height, width]."""

  def __init__(self, image_shape: tuple[int, int, int], width: int):
    super().__init__()
    height, breadth, channels = image_shape
    self.conv_0 = nn.Conv2d(channels, width, 4, 2, 1)
    self.conv_1 = nn.Conv2d(width, 2 * width, 4, 2, 1)
    self.dense_0 = nn.Linear(height // 4 * (breadth // 4) * 2 * width, 1)

  def forward(self, images: Tensor) -> Tensor:
    x = nn.functional.leaky_relu(self.conv_0(images), 0.2)
    x = nn.functional.leaky_relu(self.conv_1(x), 0.2)
    return self.dense_0(x.flatten(1))[:, 0]


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


class InfoGANCritic(nn.Module):
  """`wgan_jax.networks.infogan.InfoGANCritic` for a batch, [batch, channels, height, width]."""

  def __init__(self, image_shape: tuple[int, int, int], width: int):
    super().__init__()
    height, breadth, channels = image_shape
    self.conv_0 = nn.Conv2d(channels, width, 4, 2, 1)
    self.conv_1 = nn.Conv2d(width, 2 * width, 4, 2, 1)
    self.dense_0 = nn.Linear(height // 4 * (breadth // 4) * 2 * width, 16 * width)
    self.dense_1 = nn.Linear(16 * width, 1)

  def forward(self, images: Tensor) -> Tensor:
    x = nn.functional.leaky_relu(self.conv_0(images), 0.2)
    x = nn.functional.leaky_relu(self.conv_1(x), 0.2)
    x = nn.functional.leaky_relu(self.dense_0(x.flatten(1)), 0.2)
    return self.dense_1(x)[:, 0]


class InfoGANGenerator(nn.Module):
  """`wgan_jax.networks.infogan.InfoGANGenerator`, in training mode."""

  def __init__(
    self, image_shape: tuple[int, int, int], latent_dim: int, width: int, n_categories: int = 16
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


def critic_objective(
  critic: Callable, real: Tensor, fake: Tensor, epsilon: Tensor, lambda_gp: float
) -> tuple[Tensor, Tensor]:
  """Critic loss plus lambda times the gradient penalty at x_hat, and the bare penalty.

  Args:
    critic: maps a batch to scores, [batch, ...] -> [batch].
    real: real samples, [batch, ...].
    fake: generated samples of the same shape, without a graph.
    epsilon: weights of x_hat = epsilon x + (1 - epsilon) g(z), [batch].
    lambda_gp: the penalty's weight.

  Returns:
    The objective [] and the penalty [].
  """
  epsilon = epsilon.view(-1, *[1] * (real.ndim - 1))
  x_hat = (epsilon * real + (1 - epsilon) * fake).requires_grad_()
  real_scores, fake_scores = critic(torch.cat([real, fake])).chunk(2)
  (gradients,) = torch.autograd.grad(critic(x_hat).sum(), x_hat, create_graph=True)
  penalty = ((gradients.flatten(1).norm(dim=1) - 1) ** 2).mean()
  return fake_scores.mean() - real_scores.mean() + lambda_gp * penalty, penalty


def make_step(
  critic: nn.Module, generator: nn.Module, sample_real: Callable[[], Tensor], settings: Settings
) -> Callable[[], None]:
  """Builds `step()`: n_critic critic updates and one generator update.

  Args:
    critic: maps a batch to scores, [batch, ...] -> [batch].
    generator: maps latents to a batch, [batch, latent_dim] -> [batch, ...].
    sample_real: draws a batch in the critic's memory layout.
    settings: of a gradient penalty run with Adam.
  """
  hparams, batch_size = jax.tree.map(float, settings.hparams()), settings.batch_size
  device = next(critic.parameters()).device
  betas = hparams.beta1, hparams.beta2
  adam = functools.partial(torch.optim.Adam, lr=hparams.learning_rate, betas=betas, fused=True)
  critic_optimizer, generator_optimizer = adam(critic.parameters()), adam(generator.parameters())

  def sample_latents():
    return torch.randn(batch_size, settings.networks().latent_dim, device=device)

  def step():
    for _ in range(settings.n_critic):
      real = sample_real()
      with torch.no_grad():
        fake = generator(sample_latents())
      epsilon = torch.rand(batch_size, device=device)
      objective, _ = critic_objective(critic, real, fake, epsilon, hparams.lambda_gp)
      critic_optimizer.zero_grad(set_to_none=True)
      objective.backward()
      critic_optimizer.step()
    critic.requires_grad_(False)
    generator_optimizer.zero_grad(set_to_none=True)
    (-critic(generator(sample_latents())).mean()).backward()
    generator_optimizer.step()
    critic.requires_grad_(True)

  return step


def make_ways(settings: Settings, dataset: Dataset, n_steps: int, device: str) -> dict[str, Way]:
  """Builds a gradient penalty run to be timed, for images one in each memory layout, by name.

  Each turn does `n_steps` steps on `device`, "cpu" or "cuda".
  """
  if device == "cuda" and jax.config.jax_default_matmul_precision is None:
    torch.set_float32_matmul_precision("high")  # TF32, as JAX there.
  n, latent_dim = settings.batch_size, settings.latent_dim

  def way(critic, generator, sample_real):
    step = make_step(critic, generator, sample_real, settings)

    def run():
      for _ in range(n_steps):
        step()
      if device == "cuda":
        torch.cuda.synchronize()

    return Way(run, n_steps)

  if settings.architecture == "mlp":
    sizes = [settings.width] * settings.depth
    critic = MLP([2, *sizes, 1], critic=True).to(device)
    generator = MLP([latent_dim, *sizes, 2], critic=False).to(device)
    return {"pytorch": way(critic, generator, _point_sampler(dataset, n, device))}
  ways = {}
  for layout, memory_format in LAYOUTS.items():
    make_critic, make_generator = NETWORKS[settings.architecture]
    critic = make_critic(dataset.sample_shape, settings.width)
    generator = make_generator(dataset.sample_shape, latent_dim, settings.width)
    networks = [each.to(device, memory_format=memory_format) for each in (critic, generator)]
    sample_real = _image_sampler(dataset.train, n, memory_format, device)
    ways[f"pytorch_{layout}"] = way(*networks, sample_real)
  return ways


def _point_sampler(dataset, batch_size, device):
  sample = jax.jit(dataset.sample_real, static_argnums=2)
  points = jax.device_get(sample(jax.random.key(0), dataset.train, _POOL))
  points = torch.tensor(points, device=device)
  return lambda: points[torch.randint(len(points), (batch_size,), device=device)]


def _image_sampler(images, batch_size, memory_format, device):
  """Draws batches of images [n, height, width, channels], uint8, as floats in [-1, 1]."""
  data = torch.from_numpy(images).permute(0, 3, 1, 2).contiguous().to(device)

  def sample():
    batch = data[torch.randint(len(data), (batch_size,), device=device)]
    return (batch.float() / 127.5 - 1).contiguous(memory_format=memory_format)

  return sample
