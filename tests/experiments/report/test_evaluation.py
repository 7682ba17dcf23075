"""Real samples that stand beside evaluated ones."""

import jax
import numpy as np

from experiments.report.evaluation import real_samples
from experiments.spec.datasets import load_dataset, of_images
from wgan_jax.data.images import Images

KEY = jax.random.key(0)


def test_training_and_held_out_points_have_none_in_common():
  train, held_out = real_samples(load_dataset("ring"), KEY, 50)
  assert train.shape == held_out.shape == (50, 2)
  assert len(np.unique(np.concatenate([train, held_out]), axis=0)) == 100


def test_training_images_are_drawn_without_doubles_and_test_images_in_their_order():
  pixels = np.arange(40, dtype=np.uint8)[:, None, None, None] * np.ones((1, 4, 4, 1), np.uint8)
  labels = np.zeros(40, int)
  dataset = of_images(Images("digits", pixels[:30], labels[:30], pixels[30:], labels[30:]))
  levels = [
    np.rint((each[:, 0, 0, 0] + 1) * 127.5).tolist() for each in real_samples(dataset, KEY, 25)
  ]
  train, held_out = levels
  assert len(set(train)) == 25
  assert set(train) <= set(range(30))
  assert held_out == list(range(30, 40))
