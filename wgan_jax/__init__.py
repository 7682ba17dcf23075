"""Wasserstein GANs in JAX: pure losses, per-sample gradient penalties, training as two functions."""

from wgan_jax.losses import cross_entropy_critic_loss
from wgan_jax.losses import jensen_shannon_estimate
from wgan_jax.losses import minimax_generator_loss
from wgan_jax.losses import nonsaturating_generator_loss
from wgan_jax.losses import wasserstein_critic_loss
from wgan_jax.losses import wasserstein_estimate
from wgan_jax.losses import wasserstein_generator_loss
from wgan_jax.penalties import clip_params
from wgan_jax.penalties import gradient_norms
from wgan_jax.penalties import gradient_penalty
from wgan_jax.penalties import interpolate
from wgan_jax.penalties import penalize
from wgan_jax.training import Config
from wgan_jax.training import Hparams
from wgan_jax.training import Info
from wgan_jax.training import State
from wgan_jax.training import make_chunk
from wgan_jax.training import make_training
from wgan_jax.types import CriticFn
from wgan_jax.types import Network
from wgan_jax.types import Pair

__all__ = [
    "Config",
    "CriticFn",
    "Hparams",
    "Info",
    "Network",
    "Pair",
    "State",
    "clip_params",
    "cross_entropy_critic_loss",
    "gradient_norms",
    "gradient_penalty",
    "interpolate",
    "jensen_shannon_estimate",
    "make_chunk",
    "make_training",
    "minimax_generator_loss",
    "nonsaturating_generator_loss",
    "penalize",
    "wasserstein_critic_loss",
    "wasserstein_estimate",
    "wasserstein_generator_loss",
]
