"""Samples of a file, and the real ones that stand beside them."""

import contextlib
import io
import zipfile

import jax
import numpy as np
import pytest

from experiments.host.errors import UserError
from experiments.report.evaluation import read_samples, real_samples
from experiments.spec.datasets import load_dataset, of_images
from wgan_jax.data.images import Images

KEY = jax.random.key(0)


def test_training_and_held_out_points_have_none_in_common():
  train, held_out, _ = real_samples(load_dataset("ring"), KEY, 50)
  assert train.shape == held_out.shape == (50, 2)
  assert len(np.unique(np.concatenate([train, held_out]), axis=0)) == 100


def test_training_images_are_drawn_without_doubles_and_test_images_in_their_order():
  pixels = np.arange(40, dtype=np.uint8)[:, None, None, None] * np.ones((1, 4, 4, 1), np.uint8)
  labels = np.arange(40)
  dataset = of_images(Images("digits", pixels[:30], labels[:30], pixels[30:], labels[30:]))
  found = real_samples(dataset, KEY, 25)
  train, held_out = (
    np.rint((each[:, 0, 0, 0] + 1) * 127.5).tolist() for each in (found.train, found.held_out)
  )
  assert train == found.train_labels.tolist()
  assert len(set(train)) == 25
  assert set(train) <= set(range(30))
  assert held_out == list(range(30, 40))


def npz(entry, compression=zipfile.ZIP_STORED):
  content = io.BytesIO()
  with zipfile.ZipFile(content, "w", compression) as archive:
    archive.writestr("points.npy", entry)
  return content.getvalue()


def npy(array, **changes):
  content = io.BytesIO()
  np.lib.format.write_array(content, array, allow_pickle=True)
  header = content.getvalue()
  for old, new in changes.values():
    assert old in header
    header = header.replace(old, new)
  return header


def encrypted(content):
  """The bit of each entry that says so, in its header and in the directory."""
  for mark, place in ((b"PK\x03\x04", 6), (b"PK\x01\x02", 8)):
    at = content.index(mark) + place
    content = content[:at] + bytes([content[at] | 1]) + content[at + 1 :]
  return content


def test_hostile_samples_are_one_line(tmp_path):
  ring, path = load_dataset("ring"), tmp_path / "a.npz"
  points = np.random.default_rng(0).normal(size=(8, 2))
  whole, bare = npz(npy(points), zipfile.ZIP_DEFLATED), npy(points)
  path.write_bytes(whole)
  np.testing.assert_array_equal(read_samples(path, ring), points.astype(np.float32))
  shape = b"(8, 2)"
  cases = [b"", b"text", bare, encrypted(whole), npz(b"text"), npz(b""), npz(bare[:40])]
  cases += [whole.replace(b"\x08\x00", b"\x0c\x00"), npz(npy(np.array([{}] * 8)))]
  sizes = (b"(9**9, 2)", b"(-8, 2)", b"(99999999999999, 2)", b"(8, 'a')", b"8", b"(8, 2", b"()")
  cases += [npz(npy(points, shape=(shape, each))) for each in sizes]
  cases += [npz(npy(points, type=(b"<f8", each))) for each in (b"|O8", b"<c8", b"|V8", b"<x8")]
  cases += [npz(npy(np.full((8, 2), each))) for each in (1e38, np.nan, -np.inf)]
  cases += [whole[:n] for n in range(0, len(whole), 9)]
  for content in cases:
    path.write_bytes(content)
    with pytest.raises(UserError, match=r"^--samples=.*a\.npz"):
      read_samples(path, ring)
  for at in range(len(whole)):
    path.write_bytes(whole[:at] + bytes([whole[at] ^ 16]) + whole[at + 1 :])
    with contextlib.suppress(UserError):  # Else it is of what may be anything, such as a date.
      np.testing.assert_array_equal(read_samples(path, ring), points.astype(np.float32))


def test_what_unpacks_to_more_than_memory_is_refused_before(tmp_path):
  content = npz(bytes(10**6), zipfile.ZIP_DEFLATED)
  size = (10**6).to_bytes(4, "little")
  assert content.count(size) == 2
  (tmp_path / "a.npz").write_bytes(content.replace(size, b"\xfe\xff\xff\xff"))
  with pytest.raises(UserError, match="more than 4 GB"):
    read_samples(tmp_path / "a.npz", load_dataset("ring"))


def test_what_is_too_large_for_memory_is_not_called_damaged(tmp_path, monkeypatch):
  np.savez(tmp_path / "a.npz", points=np.zeros((8, 2)))

  def fail(*_, **__):
    raise MemoryError

  monkeypatch.setattr(np.lib.format, "read_array", fail)
  with pytest.raises(UserError, match=r"--samples=.*a\.npz: points are too large for the memory"):
    read_samples(tmp_path / "a.npz", load_dataset("ring"))
