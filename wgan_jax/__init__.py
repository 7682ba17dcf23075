"""Wasserstein GANs in JAX: pure losses, per-sample gradient penalties, training as functions."""

from wgan_jax import diagnostics, frechet, lipschitz, modes, transport
from wgan_jax.losses import (
  cross_entropy_critic_loss,
  jensen_shannon_estimate,
  minimax_generator_loss,
  nonsaturating_generator_loss,
  wasserstein_critic_loss,
  wasserstein_estimate,
  wasserstein_generator_loss,
)
from wgan_jax.penalties import clip_params, gradient_norms, gradient_penalty, interpolate, penalize
from wgan_jax.sweep import Members, Sweep, make_sweep
from wgan_jax.training import Config, Hparams, Info, State, make_chunk, make_training
from wgan_jax.types import CriticFn, Network, Pair

__all__ = [
  "Config",
  "CriticFn",
  "Hparams",
  "Info",
  "Members",
  "Network",
  "Pair",
  "State",
  "Sweep",
  "clip_params",
  "cross_entropy_critic_loss",
  "diagnostics",
  "frechet",
  "gradient_norms",
  "gradient_penalty",
  "interpolate",
  "jensen_shannon_estimate",
  "lipschitz",
  "make_chunk",
  "make_sweep",
  "make_training",
  "minimax_generator_loss",
  "modes",
  "nonsaturating_generator_loss",
  "penalize",
  "transport",
  "wasserstein_critic_loss",
  "wasserstein_estimate",
  "wasserstein_generator_loss",
]
