"""The same networks and the same step in PyTorch, to be measured against: eager, as one writes it.

Real and fake go through the critic in one pass, gradients are freed rather than zeroed, no graph is
kept for what is not updated, Adam is fused. PyTorch is an extra: import this module late.
"""

import functools
import itertools
from collections.abc import Callable

import numpy as np
import torch
from torch import nn

from wgan_jax.training import Hparams

LAYOUTS = {"contiguous": torch.contiguous_format, "channels_last": torch.channels_last}


class DCGANCritic(nn.Module):
  """`wgan_jax.networks.dcgan.DCGANCritic` for a batch, [batch, channels, height, width]."""

  def __init__(self, image_shape: tuple[int, int, int], width: int):
    super().__init__()
    height, breadth, channels = image_shape
    self.conv_0 = nn.Conv2d(channels, width, 4, 2, 1)
    self.conv_1 = nn.Conv2d(width, 2 * width, 4, 2, 1)
    self.dense_0 = nn.Linear(height // 4 * (breadth // 4) * 2 * width, 1)

  def forward(self, images: torch.Tensor) -> torch.Tensor:
    x = nn.functional.leaky_relu(self.conv_0(images), 0.2)
    x = nn.functional.leaky_relu(self.conv_1(x), 0.2)
    return self.dense_0(x.flatten(1))[:, 0]

  def load(self, params) -> None:
    """Takes the parameters of the JAX critic."""
    _load_conv(self.conv_0, params["Conv_0"])
    _load_conv(self.conv_1, params["Conv_1"])
    _load_dense(self.dense_0, params["Dense_0"], self._rows)

  def gradients(self) -> dict:
    """The gradients, arranged as the JAX critic's parameters."""
    return {
      "Conv_0": _conv_gradients(self.conv_0),
      "Conv_1": _conv_gradients(self.conv_1),
      "Dense_0": _dense_gradients(self.dense_0, self._rows),
    }

  @property
  def _rows(self):
    """For each entry of [channels, height, width], its place in [height, width, channels]."""
    channels = self.conv_1.out_channels
    n = self.dense_0.in_features
    return np.arange(n).reshape(-1, channels).T.ravel()


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

  def forward(self, latents: torch.Tensor) -> torch.Tensor:
    x = self.dense_0(latents).unflatten(1, self._start)
    x = nn.functional.relu(self.norm_0(x))
    x = nn.functional.relu(self.norm_1(self.conv_0(x)))
    return torch.tanh(self.conv_1(x))

  def load(self, params) -> None:
    """Takes the parameters of the JAX generator."""
    _load_dense(self.dense_0, params["Dense_0"], columns=self._columns)
    for norm, name in ((self.norm_0, "BatchNorm_0"), (self.norm_1, "BatchNorm_1")):
      _set(norm.weight, params[name]["scale"])
      _set(norm.bias, params[name]["bias"])
    _load_conv(self.conv_0, params["Conv_0"], transposed=True)
    _load_conv(self.conv_1, params["Conv_1"], transposed=True)

  def gradients(self) -> dict:
    """The gradients, arranged as the JAX generator's parameters."""
    norms = {
      f"BatchNorm_{i}": {"scale": _gradient(norm.weight), "bias": _gradient(norm.bias)}
      for i, norm in enumerate((self.norm_0, self.norm_1))
    }
    return norms | {
      "Dense_0": _dense_gradients(self.dense_0, columns=self._columns),
      "Conv_0": _conv_gradients(self.conv_0, transposed=True),
      "Conv_1": _conv_gradients(self.conv_1, transposed=True),
    }

  @property
  def _columns(self):
    return np.arange(np.prod(self._start)).reshape(-1, self._start[0]).T.ravel()


class MLP(nn.Module):
  """`wgan_jax.networks.mlp.MLP`: ReLU between dense layers; a critic's one output is a score."""

  def __init__(self, sizes: list[int], critic: bool):
    super().__init__()
    self.layers = nn.ModuleList(nn.Linear(a, b) for a, b in itertools.pairwise(sizes))
    self._critic = critic

  def forward(self, x: torch.Tensor) -> torch.Tensor:
    for layer in self.layers[:-1]:
      x = nn.functional.relu(layer(x))
    x = self.layers[-1](x)
    return x[:, 0] if self._critic else x

  def load(self, params) -> None:
    """Takes the parameters of the JAX network."""
    for i, layer in enumerate(self.layers):
      _load_dense(layer, params[f"Dense_{i}"])

  def gradients(self) -> dict:
    """The gradients, arranged as the JAX network's parameters."""
    return {f"Dense_{i}": _dense_gradients(layer) for i, layer in enumerate(self.layers)}


def critic_objective(
  critic: Callable,
  real: torch.Tensor,
  fake: torch.Tensor,
  epsilon: torch.Tensor,
  lambda_gp: float,
) -> tuple[torch.Tensor, torch.Tensor]:
  """The critic's W-loss plus lambda times the gradient penalty on x_hat, and the bare penalty.

  Args:
    critic: maps a batch to scores, [batch, ...] -> [batch].
    real: [batch, ...].
    fake: of its shape, without a graph.
    epsilon: [batch], of x_hat = epsilon x + (1 - epsilon) g(z).
    lambda_gp: the penalty's weight.
  """
  epsilon = epsilon.view(-1, *[1] * (real.ndim - 1))
  x_hat = (epsilon * real + (1 - epsilon) * fake).requires_grad_()
  real_scores, fake_scores = critic(torch.cat([real, fake])).chunk(2)
  (gradients,) = torch.autograd.grad(critic(x_hat).sum(), x_hat, create_graph=True)
  penalty = ((gradients.flatten(1).norm(dim=1) - 1) ** 2).mean()
  return fake_scores.mean() - real_scores.mean() + lambda_gp * penalty, penalty


def make_step(
  critic: nn.Module,
  generator: nn.Module,
  sample_real: Callable[[], torch.Tensor],
  *,
  latent_dim: int,
  batch_size: int,
  hparams: Hparams,
  n_critic: int = 5,
) -> Callable[[], None]:
  """Builds `step()`: n_critic critic updates and one generator update, as our step is.

  Args:
    critic: for a batch.
    generator: for a batch of latents.
    sample_real: draws a batch, laid out as the critic wants it.
    latent_dim: the size of the latent.
    batch_size: samples per update.
    hparams: of Adam and of the penalty.
    n_critic: critic updates per step.
  """
  device = next(critic.parameters()).device
  adam = functools.partial(
    torch.optim.Adam, lr=hparams.learning_rate, betas=(hparams.beta1, hparams.beta2), fused=True
  )
  critic_optimizer, generator_optimizer = adam(critic.parameters()), adam(generator.parameters())

  def sample_latents():
    return torch.randn(batch_size, latent_dim, device=device)

  def step():
    for _ in range(n_critic):
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


def image_sampler(
  images: np.ndarray, batch_size: int, layout: str, device: str
) -> Callable[[], torch.Tensor]:
  """Draws batches of images [n, height, width, channels], uint8, as floats in [-1, 1]."""
  data = torch.from_numpy(images).permute(0, 3, 1, 2).contiguous().to(device)

  def sample():
    batch = data[torch.randint(len(data), (batch_size,), device=device)]
    return (batch.float() / 127.5 - 1).contiguous(memory_format=LAYOUTS[layout])

  return sample


def _set(parameter, value):
  with torch.no_grad():
    # Copied, as PyTorch will not take memory that is read-only.
    parameter.copy_(torch.from_numpy(np.array(value)))


def _gradient(parameter):
  return parameter.grad.cpu().numpy()


def _load_dense(layer, params, rows=None, columns=None):
  kernel, bias = params["kernel"], params.get("bias")
  kernel = np.asarray(kernel)
  kernel = kernel if rows is None else kernel[rows]
  kernel = kernel if columns is None else kernel[:, columns]
  _set(layer.weight, kernel.T)
  if bias is not None:
    _set(layer.bias, bias)


def _dense_gradients(layer, rows=None, columns=None):
  kernel = _gradient(layer.weight).T
  kernel = kernel if rows is None else kernel[np.argsort(rows)]
  kernel = kernel if columns is None else kernel[:, np.argsort(columns)]
  return {"kernel": kernel} | ({} if layer.bias is None else {"bias": _gradient(layer.bias)})


def _load_conv(layer, params, transposed=False):
  kernel = np.asarray(params["kernel"])
  kernel = kernel[::-1, ::-1].transpose(2, 3, 0, 1) if transposed else kernel.transpose(3, 2, 0, 1)
  _set(layer.weight, kernel)
  if layer.bias is not None:
    _set(layer.bias, params["bias"])


def _conv_gradients(layer, transposed=False):
  kernel = _gradient(layer.weight)
  kernel = kernel.transpose(2, 3, 0, 1)[::-1, ::-1] if transposed else kernel.transpose(2, 3, 1, 0)
  return {"kernel": kernel} | ({} if layer.bias is None else {"bias": _gradient(layer.bias)})
