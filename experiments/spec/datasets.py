"""Data sets by name, as rows, and a loaded data set: batches to train on, and held-out samples."""

import hashlib
import os
from collections.abc import Callable, Mapping
from typing import NamedTuple

import chex
import jax
import numpy as np

from experiments.host.cache import load_cached_images
from wgan_jax.data import images
from wgan_jax.data.images import Images, image_shape, sample_images, stack, to_unit
from wgan_jax.data.toy import Toy, load_toy, true_wasserstein
from wgan_jax.types import Network, SampleRealFn

N_HELD_OUT = 500
_N_HELD_OUT_POINTS = 1000


class Dataset(NamedTuple):
  """A loaded data set, as the launchers use it.

  Attributes:
    name: a key of `DATASETS`.
    sample_shape: the shape of one sample.
    train: arrays on the host, the argument `data` of the training step.
    held_out: float32 [n, ...], samples that training does not see, scaled as the critic takes them.
    sample_real: draws a batch from `train`.
    description: how many samples there are, in words.
    images: the images and their labels; None for points.
    base: the images that those are stacked of, else the same; None for points.
    toy: the known truth of points; None for images.
    true_wasserstein: distance between the data and the generator given with them; None elsewhere.
  """

  name: str
  sample_shape: tuple[int, ...]
  train: chex.ArrayTree
  held_out: np.ndarray
  sample_real: SampleRealFn
  description: str
  images: Images | None = None
  base: Images | None = None
  toy: Toy | None = None
  true_wasserstein: float | None = None

  @property
  def extent(self) -> float:
    """Half the side of the box of all data: images are in [-1, 1], points are drawn in it."""
    return 1.0 if self.images is not None else 1.25 * float(np.abs(self.held_out).max())

  @property
  def nbytes(self) -> int:
    """Bytes that the data take on a device."""
    return sum(leaf.nbytes for leaf in jax.tree.leaves((self.train, self.held_out)))

  def digest(self) -> str:
    """SHA-256 of all pixels; for points that of the name, as the settings decide all of them."""
    if self.images is None:
      return hashlib.sha256(self.name.encode()).hexdigest()
    content = self.images.train_images.tobytes() + self.images.test_images.tobytes()
    return hashlib.sha256(content).hexdigest()


class Source(NamedTuple):
  """A data set that a user can name: how it is loaded, and the defaults that it brings.

  Attributes:
    kind: "images" or "points".
    sample_shape: the shape of one sample.
    load: (name, data_dir, **options) -> Dataset.
    architecture: the networks of the W-loss with a penalty unless chosen, a key of
      `spec.networks.ARCHITECTURES`.
    architecture_otherwise: those of other methods.
    steps: the length of a run unless chosen; None for the architecture's own, as the next three.
    latent_dim: the latent's size unless chosen.
    batch_size: samples per update unless chosen.
    width: of the networks unless chosen.
    learning_rate: by optimiser, where the data want another than the architecture.
    lambda_gp: by penalty, where the data want another than the penalty's own.
    options: by name, the settings that only such data have, with their defaults.
    generator: (name, **options) -> the fixed generator given with the data; None to train one.
    reads_files: whether the data are read from a folder of TFDS.
  """

  kind: str
  sample_shape: tuple[int, ...]
  load: Callable[..., Dataset]
  architecture: str
  architecture_otherwise: str
  steps: int | None = None
  latent_dim: int | None = None
  batch_size: int | None = None
  width: int | None = None
  learning_rate: Mapping[str, float] = {}
  lambda_gp: Mapping[str, float] = {}
  options: Mapping[str, int] = {}
  generator: Callable[..., Network] | None = None
  reads_files: bool = False


def load_dataset(name: str, data_dir: str | os.PathLike | None = None, **options) -> Dataset:
  """Loads images, or makes the samplers of points.

  Args:
    name: a key of `DATASETS`.
    data_dir: TFDS folder of images; None for the usual one.
    **options: those of the row's `options` that are to have another value than their default.

  Raises:
    DataError: the images cannot be had.
  """
  source = DATASETS[name]
  return source.load(name, data_dir, **{**source.options, **options})


def of_images(pictures: Images, base: Images | None = None) -> Dataset:
  """Makes a data set of images in memory, perhaps stacked of others."""
  n_train, n_test = len(pictures.train_images), len(pictures.test_images)
  return Dataset(
    name=pictures.name,
    sample_shape=pictures.train_images.shape[1:],
    train=pictures.train_images,
    held_out=np.asarray(to_unit(pictures.test_images[:N_HELD_OUT])),
    sample_real=sample_images,
    images=pictures,
    base=base or pictures,
    description=f"{n_train} training images, {n_test} held out",
  )


def _load_images(name, data_dir):
  if name in images.STACKED_OF:
    base = load_cached_images(images.STACKED_OF[name], data_dir)
    return of_images(stack(base), base)
  return of_images(load_cached_images(name, data_dir))


def _find_toy(name, n_funnels=4, data_seed=0) -> Toy:
  return load_toy(name, n_funnels=n_funnels, seed=data_seed)


def _load_points(name, data_dir, **options):
  del data_dir  # Points come from no file.
  toy = _find_toy(name, **options)
  # A stream of its own, the same for all runs.
  key_held_out, key_distance = jax.random.split(jax.random.key(0x68656C64))
  held_out = jax.jit(toy.sample_real, static_argnums=2)(key_held_out, toy.data, _N_HELD_OUT_POINTS)
  return Dataset(
    name=toy.name,
    sample_shape=(toy.dim,),
    train=jax.device_get(toy.data),
    held_out=np.asarray(held_out),
    sample_real=toy.sample_real,
    toy=toy,
    true_wasserstein=None if toy.generator is None else true_wasserstein(toy, key_distance)[0],
    description=f"points, {_N_HELD_OUT_POINTS} held out",
  )


_GREY = Source("images", image_shape("mnist"), _load_images,
  architecture="infogan", architecture_otherwise="dcgan", reads_files=True)  # fmt: skip
_POINTS = Source("points", (2,), _load_points,
  architecture="mlp", architecture_otherwise="mlp", steps=5000, latent_dim=2, batch_size=256,
  width=64, learning_rate={"adam": 1e-3})  # fmt: skip
# 0.1 as in the code of the penalty's authors; where the generator is given, 10 as in their paper.
_LEARNED = _POINTS._replace(lambda_gp={"gp": 0.1, "gp_one_sided": 0.1})
_GIVEN = _POINTS._replace(generator=lambda name, **options: _find_toy(name, **options).generator)

DATASETS = {
  "mnist": _GREY,
  "fashion_mnist": _GREY,
  "digits": _GREY._replace(reads_files=False),  # scikit-learn embeds them.
  "stacked_mnist": _GREY._replace(sample_shape=image_shape("stacked_mnist")),
  "ring": _LEARNED,
  "grid": _LEARNED,
  "swiss_roll": _LEARNED,
  "two_gaussians": _GIVEN,
  "funnels": _GIVEN._replace(options={"n_funnels": 4, "data_seed": 0}),
}
"""The data sets by name."""

IMAGES = tuple(name for name, source in DATASETS.items() if source.kind == "images")
POINTS = tuple(name for name, source in DATASETS.items() if source.kind == "points")
AUTO = ("mnist", "digits")  # What --dataset=auto stands for: the first, or else the second.
