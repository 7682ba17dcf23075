"""Folders of images in the user's cache: listed, decoded once, read back, damaged, changed."""

import errno
import os
import zlib
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
from PIL import Image

from experiments.host import prepared
from experiments.host.listings import changed, scan
from experiments.host.prepared import is_intact, load, load_folder
from wgan_jax.data import folder as folders
from wgan_jax.data.prepare import DataError

SIZE = (8, 10)
PIXELS = np.random.default_rng(0).integers(0, 256, (12, *SIZE, 3), dtype=np.uint8)


def save(path, i, channels=3):
  path.parent.mkdir(parents=True, exist_ok=True)
  Image.fromarray(PIXELS[i] if channels == 3 else PIXELS[i, ..., 0]).save(path)
  # Old enough to be trusted.
  os.utime(path, ns=(10**18 + i, 10**18 + i))


@pytest.fixture
def folder(tmp_path, monkeypatch):
  """-> a folder of eight colour images of two classes; the cache is beside it."""
  monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
  for i in range(8):
    save(tmp_path / "data" / "ab"[i % 2] / f"{i}.png", i)
  return tmp_path / "data"


@pytest.fixture
def cache(tmp_path):
  return tmp_path / "cache" / "wgan_jax" / "folders"


@pytest.fixture
def decoded(monkeypatch):
  """-> the names of the files that are decoded."""
  names = []

  def decode(file, *args, decode=prepared.decode):
    names.append(os.path.basename(file.name))
    return decode(file, *args)

  monkeypatch.setattr(prepared, "decode", decode)
  return names


def images_of(folder, loaded):
  return [np.asarray(Image.open(folder / path)) for path in loaded.files]


def check_equal(one, other):
  np.testing.assert_array_equal(one.images, other.images)
  np.testing.assert_array_equal(one.held_out, other.held_out)
  np.testing.assert_array_equal(one.crcs, other.crcs)
  assert (one.files, one.sha256, one.skipped) == (other.files, other.sha256, other.skipped)


def test_a_folder_is_decoded_once_and_mapped(folder, decoded):
  first = load_folder(folder, size=SIZE)
  assert len(decoded) == 8
  np.testing.assert_array_equal(first.images, images_of(folder, first))
  assert first.files == tuple(sorted(first.files))
  assert (first.classes, first.channels, first.skipped) == (("a", "b"), 3, ())
  assert first.labels.tolist() == [0] * 4 + [1] * 4
  np.testing.assert_array_equal(first.held_out, folders.held_out(scan(folder).files))
  assert isinstance(first.images, np.memmap)
  with pytest.raises(ValueError, match="read-only"):
    first.images[0] = 0
  second = load_folder(folder, size=SIZE)
  assert len(decoded) == 8
  check_equal(first, second)
  assert first.crcs.tolist() == [zlib.crc32(image) for image in np.asarray(first.images)]


def test_another_size_or_other_channels_are_another_array(folder, decoded):
  shas = {load_folder(folder, size=SIZE).sha256, load_folder(folder, size=(8, 8)).sha256}
  grey = load_folder(folder, size=SIZE, channels=1)
  assert grey.images.shape == (8, *SIZE, 1)
  assert len({*shas, grey.sha256}) == 3
  assert len(decoded) == 24


def test_a_folder_is_grey_if_all_its_images_are(folder):
  for i in range(8):
    save(folder / "ab"[i % 2] / f"{i}.png", i, channels=1)
  loaded = load_folder(folder, size=SIZE)
  assert loaded.images.shape == (8, *SIZE, 1)
  save(folder / "a" / "8.png", 8)
  assert load_folder(folder, size=SIZE).images.shape == (9, *SIZE, 3)
  (folder / "top.png").symlink_to(folder / "a" / "8.png")
  loaded = load_folder(folder, size=SIZE)
  assert (loaded.classes, loaded.labels) == ((), None)


def test_a_second_scan_reads_no_file(folder, monkeypatch):
  first = scan(folder)
  read = []
  monkeypatch.setattr(folders, "_read", lambda folder, path: read.append(path))
  second = scan(folder)
  assert read == []
  assert (first.files, first.sha256) == (second.files, second.sha256)


def test_a_file_that_changed_just_now_is_read_again(folder):
  """Of the same size and, by a clock of 10 ms, at the same time."""
  save(folder / "a" / "0.png", 0)
  now = os.stat(folder).st_mtime_ns
  os.utime(folder / "a" / "0.png", ns=(now, now))
  before = scan(folder).sha256
  content = (folder / "a" / "0.png").read_bytes()
  (folder / "a" / "0.png").write_bytes(content[:-20] + b"\0" + content[-19:])
  os.utime(folder / "a" / "0.png", ns=(now, now))
  assert scan(folder).sha256 != before


def test_what_changed_since_a_run_began_is_named(folder):
  before = scan(folder)
  assert changed(before, before.sha256) is None
  assert changed(before, "0" * 64) is None
  by_array = load(before, size=SIZE).sha256
  save(folder / "a" / "0.png", 9)
  (folder / "b" / "1.png").unlink()
  (folder / "b" / "3.png").unlink()
  save(folder / "b" / "x\ny.png", 10)
  expected = r"1 changed ('a/0.png'), 1 added ('b/x\ny.png'), 2 gone ('b/1.png', ...)"
  for sha256 in (before.sha256, by_array):
    assert changed(scan(folder), sha256) == expected


def test_corrupt_images_are_named_and_can_be_left_out(folder, decoded):
  cut = folder / "a" / "2.png"
  cut.write_bytes(cut.read_bytes()[:-40])
  (folder / "a" / "text.png").write_text("a text")
  with pytest.raises(DataError, match=r"text\.png.*--skip_corrupt"):
    scan(folder)
  (folder / "a" / "text.png").rename(folder / "a" / "text.jpg")
  (folder / "b" / "1.png").rename(folder / "b" / "0.png")
  listed = scan(folder, skip_corrupt=True)
  assert listed.skipped == ("a/text.jpg",)
  for _ in range(2):
    loaded = load(listed, size=SIZE)
    assert loaded.skipped == ("a/text.jpg", "a/2.png")
    assert len(loaded.images) == len(loaded.labels) == len(loaded.held_out) == 7
    np.testing.assert_array_equal(loaded.images, images_of(folder, loaded))
    assert loaded.labels.tolist() == [0] * 3 + [1] * 4
  assert len(decoded) == 8
  (folder / "a" / "text.jpg").unlink()
  with pytest.raises(DataError, match=r"a/2\.png.*--skip_corrupt leaves") as error:
    load_folder(folder, size=SIZE)
  assert "\n" not in str(error.value)


def test_fewer_than_two_usable_images_are_refused(tmp_path, folder):
  for i in range(1, 8):
    path = folder / "ab"[i % 2] / f"{i}.png"
    path.write_bytes(path.read_bytes()[:-40])
  with pytest.raises(DataError, match="fewer than two images can be decoded"):
    load_folder(folder, size=SIZE, skip_corrupt=True)


@pytest.mark.parametrize("skip_corrupt", [False, True])
def test_files_that_change_or_go_after_the_scan_are_never_left_out(folder, cache, skip_corrupt):
  listed = scan(folder, skip_corrupt=skip_corrupt)
  save(folder / "a" / "2.png", 9)
  with pytest.raises(DataError, match=r"a/2\.png' has changed"):
    load(listed, size=SIZE)
  (folder / "a" / "2.png").unlink()
  with pytest.raises(DataError, match=r"a/2\.png' was listed and cannot be read now"):
    load(listed, size=SIZE)
  assert not [path for path in cache.iterdir() if "images" in path.name]


@pytest.mark.parametrize("suffix", [".images", ".npz"])
def test_a_damaged_cache_is_prepared_again(folder, cache, decoded, suffix):
  first = load_folder(folder, size=SIZE)
  expected = first._replace(images=np.array(first.images))
  path = cache / f"{first.sha256}{suffix}"
  content = path.read_bytes()
  flipped = bytearray(content)
  flipped[len(content) // 2] ^= 1
  for damaged in (bytes(flipped), content[:-1], content + b"\0", b"", None):
    path.unlink()
    if damaged is not None:
      path.write_bytes(damaged)
    decoded.clear()
    check_equal(load_folder(folder, size=SIZE), expected)
    # Of the index, a zip file, some bytes mean nothing.
    assert len(decoded) == 8 or suffix == ".npz"
  # Neither is a link to another's file followed.
  path.rename(cache / "elsewhere")
  path.symlink_to(cache / "elsewhere")
  check_equal(load_folder(folder, size=SIZE), expected)
  assert not path.is_symlink()


def test_without_verification_a_flipped_bit_is_left_to_the_windows(folder, cache, decoded):
  first = load_folder(folder, size=SIZE)
  path = cache / f"{first.sha256}.images"
  content = bytearray(path.read_bytes())
  content[100] ^= 1
  path.write_bytes(content)
  loaded = load_folder(folder, size=SIZE, verify=False)
  assert len(decoded) == 8
  assert not is_intact(loaded)
  assert loaded.images.filename == str(path)


@pytest.mark.parametrize("stage", ["folder", "images", "index"])
def test_a_cache_that_cannot_be_written_leaves_an_array_in_memory(
  folder, cache, monkeypatch, capsys, stage
):
  expected = load_folder(folder, size=SIZE)
  expected = expected._replace(images=np.array(expected.images))
  for path in cache.iterdir():
    path.unlink()
  cache.rmdir()
  full = OSError(errno.ENOSPC, "No space left on device", "there")

  def fail_late(path, chunks):
    next(iter(chunks))
    raise full

  def fail(path, arrays):
    raise full

  if stage == "folder":
    cache.parent.rmdir()
    cache.parent.touch()
  elif stage == "images":
    monkeypatch.setattr(prepared, "write_chunks", fail_late)
  else:
    monkeypatch.setattr(prepared, "write_arrays", fail)
  prepared._warn.cache_clear()
  for _ in range(2):
    check_equal(load_folder(folder, size=SIZE), expected)
  warning = capsys.readouterr().err
  assert warning.count("warning:") == 1
  assert warning.count("\n") == 1


def test_without_room_in_memory_either_it_is_refused(folder, cache, monkeypatch):
  cache.parent.parent.mkdir()
  cache.parent.touch()
  memory = prepared.psutil.virtual_memory()._replace(available=2000)
  monkeypatch.setattr(prepared.psutil, "virtual_memory", lambda: memory)
  with pytest.raises(DataError, match=r"wgan_jax.*neither there nor in memory: set XDG_CACHE_HOME"):
    load_folder(folder, size=SIZE)


def test_two_at_once_give_the_same(folder):
  listed = scan(folder)
  with ThreadPoolExecutor(2) as pool:
    one, other = pool.map(lambda _: load(listed, size=SIZE), range(2))
  check_equal(one, other)
  check_equal(one, load(listed, size=SIZE))


def test_an_interrupted_preparation_leaves_nothing(folder, cache, monkeypatch, decoded):
  listed = scan(folder)
  before = sorted(cache.iterdir())

  def interrupt(*args):
    raise KeyboardInterrupt

  with monkeypatch.context() as patch:
    patch.setattr(prepared, "decode", interrupt)
    with pytest.raises(KeyboardInterrupt):
      load(listed, size=SIZE)
  assert sorted(cache.iterdir()) == before
  load(listed, size=SIZE)
  assert len(decoded) == 8


def test_images_without_their_index_are_prepared_again(folder, cache, decoded):
  """As a kill between the two leaves them."""
  first = load_folder(folder, size=SIZE)
  (cache / f"{first.sha256}.npz").unlink()
  check_equal(load_folder(folder, size=SIZE), first)
  assert len(decoded) == 16


@pytest.mark.parametrize("content", [b"", b"rubbish"])
def test_a_damaged_listing_is_made_again(folder, cache, content):
  before = scan(folder)
  for path in cache.iterdir():
    path.write_bytes(content)
  assert scan(folder).files == before.files
  assert scan(folder).files == before.files
