"""Training steps to be timed, and how much arithmetic a step needs."""

from functools import partial
from unittest import mock

import jax
from jax import lax

from experiments.engine.engine import Engine
from experiments.spec.dataset import Dataset
from experiments.spec.grid import Grid
from experiments.spec.settings import Settings
from experiments.speed.turns import Way
from wgan_jax.networks import convolution


def settings_of(dataset: str, **choices) -> Settings:
  """Default settings of a gradient penalty run on a data set, except for the given choices."""
  choices = {"loss": "wasserstein", "penalty": "gp"} | choices
  (settings,) = Grid(dataset, {name: (value,) for name, value in choices.items()}).settings([0])
  return settings


def alone(settings: Settings, dataset: Dataset, n_steps: int) -> Way:
  """One run; each turn trains it `n_steps` further."""
  return members(settings, dataset, n_steps, "map", 1)


def members(settings: Settings, dataset: Dataset, n_steps: int, mode: str, n_members: int) -> Way:
  """Equal runs in one program, batched by `vmap` or `map`; a unit is one step of one run."""
  engine = Engine([settings] * n_members, dataset, n_steps, mode)
  state = engine.init()

  def run():
    nonlocal state
    state, _ = engine.chunk(state, n_steps)
    jax.block_until_ready(state)

  return Way(run, n_steps * n_members)


def native(settings: Settings, dataset: Dataset, n_steps: int) -> Way:
  """One run as in `alone`, on XLA's own convolutions."""
  with native_convolutions():  # An engine traces its program as it is made.
    return alone(settings, dataset, n_steps)


def native_convolutions():
  """Gives a context in which layers are traced on XLA's own convolutions."""
  return mock.patch.object(convolution, "conv_general_dilated", lax.conv_general_dilated)


def count_flops(settings: Settings) -> int:
  """Floating-point operations of a step: those of its products, with direct convolutions.

  With F_c and F_g for the forward passes of a batch, a critic update takes 6 F_c + F_g: real and
  fake, forward and backward. The penalty adds 4 F_c: x_hat forward, the gradient there, and that
  gradient's two derivatives. A generator update takes 2 F_c + 3 F_g.

  Args:
    settings: any; of networks other than those on 28 x 28 x 1 and on points in the plane the
      compiler counts the forward passes.
  """
  width, n = settings.width, settings.batch_size
  if settings.sample_shape not in ((28, 28, 1), (2,)):
    n_fake = settings.generator_batch_size or n
    critic, generator = _count_forward(settings, n)
    update = (10 if settings.lambda_gp is not None else 6) * critic + generator
    return round(settings.n_critic * update + (2 * critic + 3 * generator) * n_fake / n)
  if settings.architecture in ("dcgan", "infogan"):
    last = 7 * 7 * 2 * width
    convolutions = 14 * 14 * 16 * width + 7 * 7 * 16 * width * 2 * width
    score, draw = last, settings.latent_dim * last
    if settings.architecture == "infogan":
      hidden = 16 * width
      score, draw = (last + 1) * hidden, (settings.networks().latent_dim + last) * hidden
    critic, generator = 2 * n * (convolutions + score), 2 * n * (convolutions + draw)
  else:
    hidden = (settings.depth - 1) * width**2
    critic = 2 * n * (2 * width + hidden + width)
    generator = 2 * n * (settings.latent_dim * width + hidden + 2 * width)
  update = (10 if settings.lambda_gp is not None else 6) * critic + generator
  return settings.n_critic * update + 2 * critic + 3 * generator


def _count_forward(settings, n):
  """The operations of a batch's pass through the critic and through the generator."""
  critic, generator = settings.networks()[:2]
  params, key = jax.eval_shape(critic.init, jax.random.key(0)), jax.random.key(0)
  x = jax.ShapeDtypeStruct((n, *settings.sample_shape), "float32")
  latents = jax.ShapeDtypeStruct((n, settings.networks().latent_dim), "float32")
  with native_convolutions():
    score = jax.jit(jax.vmap(critic.apply, (None, 0))).lower(params, x)
    draw = jax.jit(partial(generator.apply, train=True)).lower(
      *jax.eval_shape(generator.init, key), latents
    )
  return score.cost_analysis()["flops"], draw.cost_analysis()["flops"]
