"""What is measured of a state outside the training step, at each boundary of the log."""

import functools
from collections.abc import Callable

import jax

from wgan_jax.data.images import sample_images, to_unit
from wgan_jax.losses import LOSSES
from wgan_jax.penalties import gradient_norms, interpolate
from wgan_jax.training import Config, State
from wgan_jax.types import Pair

N_HELD_OUT = 500


def estimate_name(loss: str) -> str:
  """What the critic's loss is an estimate of, as a metric's name."""
  return "wasserstein_estimate" if loss == "wasserstein" else "jensen_shannon_estimate"


def make_boundary_measures(config: Config, networks: Pair) -> Callable[..., dict]:
  """Builds `measure(state, train_images, held_out) -> {name: []}`.

  The estimate on held-out data sets c(x) on test images against c(g(z)) on samples as a user gets
  them, with the running statistics. Without a penalty, the norms on x_hat are computed here too,
  on a training batch.

  Args:
    config: the run's static choices.
    networks: its networks.

  Returns:
    The function, to be jitted. Its draws depend on the state's key and step alone.
  """
  critic, generator, latent_dim = networks

  def generate(state, key, n):
    latents = jax.random.normal(key, (n, latent_dim))
    return generator.apply(state.generator_params, state.batch_stats, latents, train=False)[0]

  def measure(state: State, train_images, held_out) -> dict:
    # The training step splits this key; folding in its own number leaves those draws alone.
    key = jax.random.fold_in(jax.random.fold_in(state.key, state.step), 0x6D656173)
    key_held_out, key_fake, key_real, key_epsilon = jax.random.split(key, 4)
    critic_fn = functools.partial(critic.apply, state.critic_params)
    scores = jax.vmap(critic_fn)
    fake = generate(state, key_held_out, held_out.shape[0])
    estimate = LOSSES[config.loss].estimate(scores(to_unit(held_out)), scores(fake))
    measured = {f"held_out_{estimate_name(config.loss)}": estimate}
    if config.penalty_fn is None:
      real = sample_images(key_real, train_images, config.batch_size)
      fake = generate(state, key_fake, config.batch_size)
      norms = gradient_norms(critic_fn, interpolate(key_epsilon, real, fake))
      measured |= {"gradient_norm_mean": norms.mean(), "gradient_norm_max": norms.max()}
    return measured

  return measure
