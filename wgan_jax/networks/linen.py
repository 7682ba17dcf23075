"""Wrappers from Flax modules to the pure functions of `wgan_jax.types`."""

from collections.abc import Callable, Sequence

import chex
import flax.errors
import flax.linen as nn
import jax
import jax.numpy as jnp

from wgan_jax.layers import Layer
from wgan_jax.types import Network, Params


def as_critic(
  module: nn.Module,
  sample: jax.Array,
  layers: Callable[[Params], Sequence[Layer]] | None = None,
  *,
  n_classes: int = 0,
  classify: bool = False,
) -> Network:
  """Wraps a module that maps one sample [...] to one score [] as a critic.

  Args:
    module: a module without batch statistics, called with one sample. With classes it is called
      with the sample's class, an integer [], as second argument. With `classify` it is called with
      the sample alone, and returns (score [], logits [n_classes]).
    sample: any sample, for its shape and type.
    layers: maps params to the chain of layers of the same function; None if there is no such chain.
    n_classes: the number of classes, for a critic whose `apply` takes a class.
    classify: whether the module is a critic with an auxiliary classifier (AC-GAN). Its `apply`
      takes a class as well, and ignores it.

  Returns:
    The critic as a `Network`. Its `init` raises ValueError for a module that couples samples or
    draws random numbers (batch normalisation, spectral normalisation's running vectors, dropout),
    and for one that returns no single score or, with `classify`, no such logits.

  Raises:
    ValueError: `n_classes` is negative or 1, or 0 with `classify`.
  """
  _check_classes(n_classes)
  if classify and not n_classes:
    raise ValueError("a critic that classifies needs n_classes of 2 or more, got 0")
  label = (jnp.zeros((), jnp.int32),) if n_classes and not classify else ()

  def init(key):
    variables = module.init(key, sample, *label)
    held = sorted(set(variables) - {"params"})
    if held:
      raise ValueError(
        "a critic maps ONE sample to ONE score and holds parameters alone, so no batch"
        f" normalisation and no running vectors: the module has {', '.join(held)} too"
      )
    try:
      score = jax.eval_shape(module.apply, variables, sample, *label)
    except flax.errors.InvalidRngError as error:
      raise ValueError(
        "a critic is a function of its parameters and ONE sample: a module that draws random"
        f" numbers, such as dropout, is none ({error})"
      ) from error
    if classify:
      shapes = [list(leaf.shape) for leaf in jax.tree.leaves(score)]
      if not isinstance(score, tuple) or len(shapes) != 2 or shapes[1] != [n_classes]:
        raise ValueError(
          f"a critic that classifies returns ONE score and logits of shape [{n_classes}], a pair,"
          f" got {', '.join(map(str, shapes))}"
        )
      score = score[0]
    if score.shape:
      raise ValueError(
        f"a critic maps ONE sample to ONE score, of shape [], got {list(score.shape)}: end the"
        " module with [0] or reshape(())"
      )
    return variables.get("params", {})

  def apply(params, x):
    return module.apply({"params": params}, x)

  def apply_to_class(params, x, label):
    chex.assert_rank(label, 0)
    chex.assert_type(label, int)
    if classify:
      return apply(params, x)[0]
    return module.apply({"params": params}, x, label)

  return Network(
    init, apply_to_class if n_classes else apply, layers, classify=apply if classify else None
  )


def as_generator(module: nn.Module, latent_dim: int, n_classes: int = 0) -> Network:
  """Wraps a module called as `module(latents, train)` on a batch as a generator.

  Args:
    module: a module that may hold batch statistics, updated when `train` is true. With classes it
      is called as `module(latents, labels, train)`, the labels integers [batch].
    latent_dim: the size of the latent.
    n_classes: the number of classes, for a generator whose `apply` takes labels.

  Returns:
    The generator as a `Network`.

  Raises:
    ValueError: `n_classes` is negative or 1.
  """
  _check_classes(n_classes)

  def init(key):
    labels = (jnp.zeros(1, jnp.int32),) if n_classes else ()
    variables = module.init(key, jnp.zeros((1, latent_dim)), *labels, False)
    return variables["params"], variables.get("batch_stats", {})

  def apply_all(params, batch_stats, *inputs, train):
    samples, updates = module.apply(
      {"params": params, "batch_stats": batch_stats},
      *inputs,
      train,
      mutable=["batch_stats"] if train else [],
    )
    return samples, updates.get("batch_stats", batch_stats)

  def apply(params, batch_stats, latents, *, train):
    return apply_all(params, batch_stats, latents, train=train)

  def apply_to_classes(params, batch_stats, latents, labels, *, train):
    chex.assert_rank(labels, 1)
    chex.assert_equal_shape_prefix([latents, labels], 1)
    chex.assert_type(labels, int)
    return apply_all(params, batch_stats, latents, labels, train=train)

  return Network(init, apply_to_classes if n_classes else apply)


def _check_classes(n_classes):
  if n_classes < 0 or n_classes == 1:
    raise ValueError(
      f"n_classes must be 2 or more, or 0 for networks that take no class, got {n_classes}"
    )
