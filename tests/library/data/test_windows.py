"""Windows of an endless shuffled stream of images."""

import sys
import threading
import zlib

import numpy as np
import pytest

from wgan_jax.data.prepare import DataError
from wgan_jax.data.windows import make_windows, shuffle

# The first bytes of an image are its number.
IMAGES = np.random.default_rng(0).integers(0, 256, (40, 4, 4, 3), dtype=np.uint8)
IMAGES[:, 0, 0, 0] = np.arange(40)
ROWS = np.flatnonzero(np.arange(40) % 10 != 3)  # 36.


def numbers(window, *indices):
  return np.concatenate([window(i)[:, 0, 0, 0] for i in indices]).tolist()


@pytest.mark.parametrize("n", [1, 5, 36, 100])
def test_each_pass_has_every_row_once_in_an_order_of_its_own(n):
  window = make_windows(IMAGES, ROWS, n)
  stream = numbers(window, *range(-(-36 * 4 // n)))
  passes = [stream[36 * i : 36 * (i + 1)] for i in range(4)]
  for each in passes:
    assert sorted(each) == ROWS.tolist()
  assert len({tuple(each) for each in (*passes, ROWS.tolist())}) == 5


def test_the_stream_does_not_depend_on_the_size_of_windows():
  one, other = make_windows(IMAGES, ROWS, 7), make_windows(IMAGES, ROWS, 70)
  assert numbers(one, *range(20)) == numbers(other, 0, 1)


def test_a_window_is_a_function_of_its_number():
  window = make_windows(IMAGES, ROWS, 7)
  first = [window(i) for i in range(12)]
  for i in (11, 3, 4, 5, 3, 3, 0, 10, 11):
    np.testing.assert_array_equal(window(i), first[i])
    assert window(i).dtype == np.uint8
  np.testing.assert_array_equal(make_windows(IMAGES, ROWS, 7)(9), first[9])
  far = make_windows(IMAGES, ROWS, 7)(2**30)
  assert far.shape == (7, 4, 4, 3)


def test_the_order_is_that_of_every_version():
  """Of numpy's, and of ours: resumed runs depend on it."""
  assert shuffle(0, 10).tolist() == [0, 2, 9, 1, 8, 5, 4, 3, 6, 7]
  assert shuffle(1, 10).tolist() == [3, 5, 2, 9, 7, 0, 8, 6, 1, 4]


def test_the_order_is_uniform():
  first = [shuffle(i, 6)[0] for i in range(3000)]
  counts = np.bincount(first, minlength=6)
  assert np.abs(counts - 500).max() < 4 * np.sqrt(500 * 5 / 6)
  adjacent = np.mean(
    [abs(np.argmax(shuffle(i, 6) == 0) - np.argmax(shuffle(i, 6) == 1)) == 1 for i in range(1000)]
  )
  assert abs(adjacent - 1 / 3) < 4 * np.sqrt(2 / 9 / 1000)


def test_labels_go_with_their_images():
  labels = np.arange(40, dtype=np.int32) * 3
  window = make_windows(IMAGES, ROWS, 50, labels=labels)
  for i in range(3):
    images, given = window(i)
    assert given.dtype == np.int32
    np.testing.assert_array_equal(given, images[:, 0, 0, 0].astype(np.int32) * 3)


def test_the_next_window_is_read_ahead():
  ready = threading.Event()
  asked = []

  class Labels:
    def __getitem__(self, rows):
      asked.append(len(rows))
      if len(asked) == 2:
        ready.set()
      return rows

  window = make_windows(IMAGES, ROWS, 4, labels=Labels())
  window(0)
  assert ready.wait(10)


def test_a_changed_image_is_an_error_that_names_the_file(tmp_path):
  path = tmp_path / "a.images"
  path.write_bytes(IMAGES.tobytes())
  images = np.memmap(path, np.uint8, "r", shape=IMAGES.shape)
  crcs = np.array([zlib.crc32(image) for image in IMAGES], np.uint32)
  np.testing.assert_array_equal(
    make_windows(images, ROWS, 36, crcs=crcs)(0), make_windows(IMAGES, ROWS, 36)(0)
  )
  crcs[3] ^= 1  # Held out, so it is not read.
  make_windows(images, ROWS, 36, crcs=crcs)(0)
  crcs[5] ^= 1
  window = make_windows(images, ROWS, 4, crcs=crcs)
  unchecked = make_windows(IMAGES, ROWS, 4)
  good = [unchecked(i) for i in range(27)]
  bad = [i for i in range(27) if 5 in good[i][:, 0, 0, 0]]
  assert len(bad) == 3
  for i in [*range(27), bad[0], bad[0], *range(27)]:
    if i in bad:
      with pytest.raises(DataError, match=r"a\.images: damaged.*delete it and run again"):
        window(i)
    else:
      np.testing.assert_array_equal(window(i), good[i])


def test_wrong_arguments_are_refused(monkeypatch):
  for rows in ([], [40], [-1]):
    with pytest.raises(ValueError, match="rows must be indices"):
      make_windows(IMAGES, np.array(rows, int), 4)
  with pytest.raises(ValueError, match="at least one image"):
    make_windows(IMAGES, ROWS, 0)
  window = make_windows(IMAGES, ROWS, 4)
  with pytest.raises(ValueError, match="numbered from 0"):
    window(-1)
  monkeypatch.setitem(sys.modules, "grain", None)
  with pytest.raises(DataError, match="the package grain is missing"):
    make_windows(IMAGES, ROWS, 4)
