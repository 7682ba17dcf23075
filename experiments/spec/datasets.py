"""Data sets by name, as rows, and how they are loaded."""

import functools
import os
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import jax
import numpy as np

from experiments.host.cache import load_cached_images
from experiments.spec import folders
from experiments.spec.dataset import Dataset, Windows
from experiments.spec.parsers import sides_of
from wgan_jax.data import images
from wgan_jax.data.images import (
  Images,
  LabelledImages,
  image_shape,
  sample_images,
  sample_labelled_images,
  stack,
  to_unit,
)
from wgan_jax.data.toy import Toy, load_toy, true_wasserstein
from wgan_jax.transport import wasserstein_exact
from wgan_jax.types import Network

N_HELD_OUT = 500
_N_HELD_OUT_POINTS = 1000


class Source(NamedTuple):
  """A data set that a user can name: how it is loaded, and the defaults that it brings.

  Attributes:
    kind: "images" or "points".
    sample_shape: the shape of one sample, or a function of the options that returns it.
    load: (name, data_dir, *, conditional, **options) -> Dataset.
    architecture: the networks of the W-loss with a penalty, or a critic by construction, unless
      chosen, a key of `spec.networks.ARCHITECTURES`.
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
    n_classes: how many classes the data have; None if an option of this name says it.
  """

  kind: str
  sample_shape: tuple[int, ...] | Callable[..., tuple[int, ...]]
  load: Callable[..., Dataset]
  architecture: str
  architecture_otherwise: str
  steps: int | None = None
  latent_dim: int | None = None
  batch_size: int | None = None
  width: int | None = None
  learning_rate: Mapping[str, float] = {}
  lambda_gp: Mapping[str, float] = {}
  options: Mapping[str, Any] = {}
  generator: Callable[..., Network] | None = None
  reads_files: bool = False
  n_classes: int | None = 0

  def shape(self, **options) -> tuple[int, ...]:
    """The shape of one sample, with the data set's options."""
    return self.sample_shape(**options) if callable(self.sample_shape) else self.sample_shape


def load_dataset(
  name: str, data_dir: str | os.PathLike | None = None, *, conditional: bool = False, **options
) -> Dataset:
  """Loads images, or makes the samplers of points.

  Args:
    name: a key of `DATASETS`.
    data_dir: TFDS folder of images; None for the usual one.
    conditional: whether `train` and `sample_real` are those of conditional networks, with classes.
    **options: those of the row's `options` that are to have another value than their default.

  Raises:
    DataError: the images cannot be had.
  """
  source = DATASETS[name]
  return source.load(name, data_dir, conditional=conditional, **{**source.options, **options})


def of_images(
  pictures: Images, base: Images | None = None, *, conditional: bool = False
) -> Dataset:
  """Makes a data set of images in memory, perhaps stacked of others.

  Args:
    pictures: the images.
    base: those that they are stacked of.
    conditional: as in `load_dataset`.
  """
  n_train, n_test = len(pictures.train_images), len(pictures.test_images)
  train = pictures.train_images
  labels = pictures.test_labels
  held_out = np.asarray(to_unit(pictures.test_images[:N_HELD_OUT]))
  some = np.linspace(0, n_train - 1, min(n_train, len(held_out))).astype(int)
  return Dataset(
    name=pictures.name,
    sample_shape=pictures.train_images.shape[1:],
    train=LabelledImages(train, pictures.train_labels) if conditional else train,
    held_out=held_out,
    floor=functools.cache(
      lambda: wasserstein_exact(held_out, np.asarray(to_unit(pictures.train_images[some])))
    ),
    held_out_labels=None if labels is None else labels[:N_HELD_OUT],
    sample_real=sample_labelled_images if conditional else sample_images,
    images=pictures,
    base=base or pictures,
    description=f"{n_train} training images, {n_test} held out",
  )


def _load_images(name, data_dir, conditional):
  if name in images.STACKED_OF:
    base = load_cached_images(images.STACKED_OF[name], data_dir)
    return of_images(stack(base), base, conditional=conditional)
  return of_images(load_cached_images(name, data_dir), conditional=conditional)


def _load_folder(name, data_dir, conditional, window, **options):
  del name, data_dir
  found = folders.load(conditional=conditional, window=window, **options)
  dataset = of_images(found.images, conditional=conditional)._replace(
    source_sha256=found.sha256, changed=found.changed, description=found.description
  )
  if found.window is None:
    return dataset

  def draw(i):
    return LabelledImages(*found.window(i)) if conditional else found.window(i)

  return dataset._replace(train=draw(0), windows=Windows(draw, window))


def _folder_shape(size, channels, **options):
  del options
  return (*sides_of(size), channels)


def _find_toy(name, n_funnels=4, data_seed=0, dim=2) -> Toy:
  return load_toy(name, n_funnels=n_funnels, dim=dim, seed=data_seed)


def _load_points(name, data_dir, conditional, **options):
  del data_dir, conditional  # Points come from no file, and have no classes.
  toy = _find_toy(name, **options)
  # A stream of its own, the same for all runs.
  key_held_out, key_distance = jax.random.split(jax.random.key(0x68656C64))
  draw = jax.jit(toy.sample_real, static_argnums=2)
  held_out, others = (
    np.asarray(draw(key, toy.data, _N_HELD_OUT_POINTS))
    for key in (key_held_out, jax.random.fold_in(key_held_out, 1))
  )
  return Dataset(
    name=toy.name,
    sample_shape=(toy.dim,),
    train=jax.device_get(toy.data),
    held_out=held_out,
    floor=functools.cache(lambda: wasserstein_exact(held_out, others)),
    sample_real=toy.sample_real,
    toy=toy,
    true_wasserstein=None if toy.generator is None else true_wasserstein(toy, key_distance)[0],
    description=f"points, {_N_HELD_OUT_POINTS} held out",
  )


_GREY = Source("images", image_shape("mnist"), _load_images,
  architecture="infogan", architecture_otherwise="dcgan", reads_files=True,
  n_classes=10)  # fmt: skip
_COLOUR = Source("images", (32, 32, 3), _load_images, architecture="dcgan",
  architecture_otherwise="dcgan", batch_size=64, width=32, latent_dim=128,
  learning_rate={"adam": 2e-4}, reads_files=True)  # fmt: skip
_POINTS = Source("points", (2,), _load_points,
  architecture="mlp", architecture_otherwise="mlp", steps=5000, latent_dim=2, batch_size=256,
  width=64, learning_rate={"adam": 1e-3})  # fmt: skip
# 0.1 as in the code of the penalty's authors; where the generator is given, 10 as in their paper.
_LEARNED = _POINTS._replace(lambda_gp={"gp": 0.1, "gp_one_sided": 0.1})
_GIVEN = _POINTS._replace(
  sample_shape=lambda dim, **options: (dim,),
  generator=lambda name, **options: _find_toy(name, **options).generator,
  options={"dim": 2},
)

DATASETS = {
  "mnist": _GREY,
  "fashion_mnist": _GREY,
  "digits": _GREY._replace(reads_files=False),  # scikit-learn embeds them.
  "stacked_mnist": _GREY._replace(sample_shape=image_shape("stacked_mnist"), n_classes=1000),
  "cifar10": _COLOUR._replace(n_classes=10),
  "cifar100": _COLOUR._replace(n_classes=100),
  "folder": _COLOUR._replace(
    sample_shape=_folder_shape,
    load=_load_folder,
    reads_files=False,
    n_classes=None,
    options={
      "folder": None,
      "size": "32x32",
      "channels": 3,
      "n_classes": 0,
      "window": 0,
      "skip_corrupt": False,
    },
  ),
  "ring": _LEARNED,
  "grid": _LEARNED,
  "swiss_roll": _LEARNED,
  "two_gaussians": _GIVEN,
  "funnels": _GIVEN._replace(options={"dim": 2, "n_funnels": 4, "data_seed": 0}),
}
"""The data sets by name."""

IMAGES = tuple(name for name, source in DATASETS.items() if source.kind == "images")
DIGITS = ("mnist", "fashion_mnist", "digits", "stacked_mnist")
COLOURED = tuple(name for name in IMAGES if name not in DIGITS)
POINTS = tuple(name for name, source in DATASETS.items() if source.kind == "points")
AUTO = ("mnist", "digits")  # What --dataset=auto stands for: the first, or else the second.
