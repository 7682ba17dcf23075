"""The same step in eager PyTorch, as one writes it, to be compared with.

Real and fake go through the critic in one pass, gradients are freed rather than zeroed, no graph is
kept for what is not updated, Adam is fused. PyTorch is in the extra `benchmark`: import this module
late.
"""

import copy
import functools
from collections.abc import Callable

import jax
import torch
from torch import Tensor, nn

from experiments.spec.dataset import Dataset
from experiments.spec.settings import Settings
from experiments.speed.pytorch_networks import MLP, NETWORKS, load
from experiments.speed.turns import Runner, Way
from wgan_jax import State

LAYOUTS = {"contiguous": torch.contiguous_format, "channels_last": torch.channels_last}
_POOL = 65536  # Points drawn once, among which each batch chooses.


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
  critic: nn.Module,
  generator: nn.Module,
  average: nn.Module | None,
  sample_real: Callable[[], Tensor],
  settings: Settings,
  capturable: bool = False,
) -> Callable[[], None]:
  """Builds `step()`: n_critic critic updates, one generator update, one of its moving average.

  Args:
    critic: maps a batch to scores, [batch, ...] -> [batch].
    generator: maps latents to a batch, [batch, latent_dim] -> [batch, ...].
    average: as the generator at the start, its moving average then; None for none.
    sample_real: draws a batch in the critic's memory layout.
    settings: of a gradient penalty run with Adam.
    capturable: whether a CUDA graph is to hold the step.
  """
  hparams, batch_size = jax.tree.map(float, settings.hparams()), settings.batch_size
  device, latent_dim = next(critic.parameters()).device, settings.networks().latent_dim
  betas = hparams.beta1, hparams.beta2
  adam = functools.partial(
    torch.optim.Adam, lr=hparams.learning_rate, betas=betas, fused=True, capturable=capturable
  )
  decay = 0.5 ** (batch_size / hparams.ema_half_life) if average is not None else 0.0
  critic_optimizer, generator_optimizer = adam(critic.parameters()), adam(generator.parameters())

  def sample_latents():
    return torch.randn(batch_size, latent_dim, device=device)

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
    if average is not None:
      with torch.no_grad():
        torch._foreach_lerp_(floats(average), floats(generator), 1 - decay)

  return step


def floats(module: nn.Module) -> list[Tensor]:
  """Lists the parameters of a module, and its running statistics."""
  return [leaf for leaf in module.state_dict().values() if leaf.is_floating_point()]


def make_ways(
  settings: Settings, dataset: Dataset, n_steps: int, device: str, *, graphs: bool = False
) -> dict[str, Way]:
  """Builds a gradient penalty run to be timed, for images one in each memory layout, by name.

  Each turn does `n_steps` steps on `device`, "cpu" or "cuda". With `graphs` a step is one CUDA
  graph, captured here: the kernels of the eager step, launched together.
  """

  def way(networks, sample_real):
    step = make_step(*networks, sample_real, settings, capturable=graphs)
    step = _capture(step) if graphs else step
    return Way(lambda: _train(step, n_steps, device), n_steps)

  _use_tensor_cores(device)
  n, latent_dim = settings.batch_size, settings.latent_dim
  if settings.architecture == "mlp":
    sizes = [settings.width] * settings.depth
    critic = MLP([2, *sizes, 1], critic=True).to(device)
    generator = MLP([latent_dim, *sizes, 2], critic=False).to(device)
    return {"pytorch": way((critic, generator, None), _point_sampler(dataset, n, device))}
  ways = {}
  for layout in LAYOUTS:
    networks = _image_networks(settings, dataset, layout, device)
    ways[f"pytorch_{layout}"] = way(networks, _image_sampler(dataset.train, n, layout, device))
  return ways


def make_runner(settings: Settings, dataset: Dataset, device: str, start: State) -> Runner:
  """Builds a gradient penalty run on images that starts from our weights.

  In the memory layout that is faster on CPUs; the first steps of another run have warmed it up.
  """
  layout = "channels_last"
  _use_tensor_cores(device)
  sample_real = _image_sampler(dataset.train, settings.batch_size, layout, device)
  warmed = _image_networks(settings, dataset, layout, device)
  _train(make_step(*warmed, sample_real, settings), 5, device)
  torch.manual_seed(settings.seed)
  networks = critic, generator, average = _image_networks(settings, dataset, layout, device)
  drawn = generator if average is None else average
  load(critic, start.critic_params)
  for network in (generator, drawn):
    load(network, start.generator_params)
  step = make_step(*networks, sample_real, settings)
  latent_dim = settings.networks().latent_dim

  def sample(n):
    drawn.eval()
    with torch.no_grad():
      images = drawn(torch.randn(n, latent_dim, device=device))
    drawn.train()
    return images.permute(0, 2, 3, 1).cpu().numpy()

  return Runner(lambda n_steps: _train(step, n_steps, device), sample)


def _capture(step):
  """Records a step as a CUDA graph and returns what launches it."""
  stream = torch.cuda.Stream()
  stream.wait_stream(torch.cuda.current_stream())
  with torch.cuda.stream(stream):  # The first steps allocate and choose: a graph holds neither.
    for _ in range(3):
      step()
  torch.cuda.current_stream().wait_stream(stream)
  graph = torch.cuda.CUDAGraph()
  with torch.cuda.graph(graph):
    step()

  def replay(kept=step):  # A graph holds addresses only: without the step its arrays are freed.
    del kept
    graph.replay()

  return replay


def _use_tensor_cores(device):
  if device == "cuda" and jax.config.jax_default_matmul_precision is None:
    torch.set_float32_matmul_precision("high")  # TF32, as JAX there.


def _train(step, n_steps, device):
  for _ in range(n_steps):
    step()
  if device == "cuda":
    torch.cuda.synchronize()


def _image_networks(settings, dataset, layout, device):
  """Makes the critic, the generator and, where there is one, its average."""
  make_critic, make_generator = NETWORKS[settings.architecture]
  critic = make_critic(dataset.sample_shape, settings.width)
  generator = make_generator(dataset.sample_shape, settings.latent_dim, settings.width)
  critic, generator = (
    network.to(device, memory_format=LAYOUTS[layout]) for network in (critic, generator)
  )
  return critic, generator, copy.deepcopy(generator) if settings.ema_half_life else None


def _point_sampler(dataset, batch_size, device):
  sample = jax.jit(dataset.sample_real, static_argnums=2)
  points = jax.device_get(sample(jax.random.key(0), dataset.train, _POOL))
  points = torch.tensor(points, device=device)
  return lambda: points[torch.randint(len(points), (batch_size,), device=device)]


def _image_sampler(images, batch_size, layout, device):
  """Draws batches of images [n, height, width, channels], uint8, as floats in [-1, 1]."""
  data = torch.from_numpy(images).permute(0, 3, 1, 2).contiguous().to(device)

  def sample():
    batch = data[torch.randint(len(data), (batch_size,), device=device)]
    return (batch.float() / 127.5 - 1).contiguous(memory_format=LAYOUTS[layout])

  return sample
