"""Which files of a folder are images, which are held out, and their classes."""

import os
import threading
import time

import numpy as np
import pytest
from PIL import Image

from wgan_jax.data import folder as folders
from wgan_jax.data.folder import (
  File,
  check_classes,
  classes,
  digest,
  held_out,
  labels,
  list_files,
  map_in_threads,
  open_listed,
)
from wgan_jax.data.prepare import DataError


def save(path, seed=0, colour=False, **options):
  path.parent.mkdir(parents=True, exist_ok=True)
  shape = (9, 10, 3) if colour else (9, 10)
  pixels = np.random.default_rng(seed).integers(0, 256, shape, dtype=np.uint8)
  Image.fromarray(pixels).save(path, **options)
  return path


def files_of(*hashes):
  return [File(f"{i}.png", 1, 1, f"{start:08x}" + "0" * 56, True) for i, start in enumerate(hashes)]


@pytest.fixture
def folder(tmp_path):
  for i, name in enumerate(["b.PNG", "a/x.jpg", "a/deep/y.JPEG", "c.WebP"]):
    save(tmp_path / name, i, colour=i == 3)
  return tmp_path


def paths(listing):
  return [file.path for file in listing.files]


def test_images_of_the_whole_tree_are_found_in_order(folder):
  save(folder / ".hidden.png")
  save(folder / ".hidden" / "a.png")
  save(folder / "a.tiff")
  (folder / "notes.txt").write_text("no image")
  (folder / "folder.png").mkdir()
  os.mkfifo(folder / "pipe.png")
  listing = list_files(folder)
  assert paths(listing) == ["a/deep/y.JPEG", "a/x.jpg", "b.PNG", "c.WebP"]
  assert [file.grey for file in listing.files] == [True, True, True, False]
  assert listing.skipped == []
  first = listing.files[0]
  status = (folder / first.path).stat()
  assert (first.size, first.mtime_ns) == (status.st_size, status.st_mtime_ns)


def test_names_may_hold_any_bytes(folder):
  for name in (b"two words.png", b"two\nlines.png", b"\xff\xfe.png"):
    save(folder / "a.png").rename(folder / os.fsdecode(name))
  listing = list_files(folder)
  found = {os.fsencode(file.path) for file in listing.files}
  assert {b"two words.png", b"two\nlines.png", b"\xff\xfe.png"} < found
  assert len(digest(listing.files)) == 64
  for file in listing.files:
    with open_listed(folder, file) as opened:
      assert opened.read()


def test_links_are_followed_and_loops_refused(folder, tmp_path_factory):
  elsewhere = tmp_path_factory.mktemp("elsewhere")
  save(elsewhere / "z.png", 9)
  (folder / "link").symlink_to(elsewhere)
  (folder / "twice").symlink_to(elsewhere)
  (folder / "file.png").symlink_to(elsewhere / "z.png")
  assert {"link/z.png", "twice/z.png", "file.png"} < set(paths(list_files(folder)))
  (folder / "a" / "up").symlink_to(folder)
  with pytest.raises(DataError, match=r"a/up' is a link to a folder above itself"):
    list_files(folder)


def test_links_to_nowhere_are_named_and_can_be_left_out(folder):
  (folder / "lost.png").symlink_to(folder / "nothing")
  (folder / "self.png").symlink_to(folder / "self.png")
  with pytest.raises(DataError, match=r"lost\.png'.*cannot be read.*--skip_corrupt"):
    list_files(folder)
  assert list_files(folder, skip_corrupt=True).skipped == ["lost.png", "self.png"]


def test_what_is_no_image_is_named_and_can_be_left_out(folder):
  before = paths(list_files(folder))
  (folder / "text.png").write_text("a text")
  (folder / "a" / "empty.jpg").touch()
  with pytest.raises(DataError, match=r"a/empty\.jpg'.*an empty file.*--skip_corrupt") as error:
    list_files(folder)
  assert "\n" not in str(error.value)
  listing = list_files(folder, skip_corrupt=True)
  assert listing.skipped == ["a/empty.jpg", "text.png"]
  assert paths(listing) == before


def test_a_folder_needs_two_images(tmp_path):
  with pytest.raises(DataError, match="does not exist"):
    list_files(tmp_path / "none")
  (tmp_path / "file").touch()
  with pytest.raises(DataError, match="is not a folder"):
    list_files(tmp_path / "file")
  with pytest.raises(DataError, match="holds no images"):
    list_files(tmp_path)
  save(tmp_path / "a.png")
  with pytest.raises(DataError, match="holds only one image"):
    list_files(tmp_path)
  (tmp_path / "b.png").write_text("a text")
  with pytest.raises(DataError, match="only one image that can be read, and 1 that cannot"):
    list_files(tmp_path, skip_corrupt=True)


@pytest.mark.skipif(os.geteuid() == 0, reason="root may read everything")
def test_files_and_folders_that_may_not_be_read_are_named(folder):
  (folder / "b.PNG").chmod(0)
  with pytest.raises(DataError, match=r"b\.PNG'.*Permission denied"):
    list_files(folder)
  (folder / "a").chmod(0)
  with pytest.raises(DataError, match=r"a/'.*Permission denied"):
    list_files(folder)
  (folder / "a").chmod(0o755)


def test_only_files_of_another_size_or_time_are_read_again(folder, monkeypatch):
  known = {file.path: file for file in list_files(folder).files}
  known["b.PNG"] = known["b.PNG"]._replace(sha256="not read")
  read = []
  monkeypatch.setattr(
    folders,
    "_read",
    lambda folder, path, read_one=folders._read: read.append(path) or read_one(folder, path),
  )
  assert {file.path: file for file in list_files(folder, known).files} == known
  assert read == []
  os.utime(folder / "a" / "x.jpg", ns=(0, 0))
  save(folder / "new.png", 8)
  known["c.WebP"] = known["c.WebP"]._replace(size=1)
  sizes = []
  listing = list_files(folder, known, track=lambda items, total: sizes.append(total) or items)
  assert sorted(read) == ["a/x.jpg", "c.WebP", "new.png"]
  assert sizes == [3]
  assert [file.sha256 for file in listing.files if file.path == "b.PNG"] == ["not read"]


def test_the_digest_is_of_paths_and_contents_alone(folder):
  before = digest(list_files(folder).files)
  os.utime(folder / "b.PNG", ns=(0, 0))
  assert digest(list_files(folder).files) == before
  (folder / "b.PNG").rename(folder / "d.PNG")
  renamed = digest(list_files(folder).files)
  (folder / "d.PNG").rename(folder / "b.PNG")
  save(folder / "b.PNG", 7)
  assert len({before, renamed, digest(list_files(folder).files)}) == 3


def test_a_file_that_changed_or_went_after_the_listing_is_refused(folder):
  files = {file.path: file for file in list_files(folder).files}
  save(folder / "b.PNG", 7)
  with pytest.raises(DataError, match="has changed"), open_listed(folder, files["b.PNG"]):
    pass
  (folder / "c.WebP").unlink()
  with pytest.raises(DataError, match="cannot be read now"), open_listed(folder, files["c.WebP"]):
    pass


def test_adding_and_renaming_files_moves_none_to_the_other_side():
  hashes = np.random.default_rng(0).integers(2**32, size=2000)
  files = files_of(*map(int, hashes))
  chosen = held_out(files)
  np.testing.assert_array_equal(chosen, hashes % 10 == 0)
  assert 160 < chosen.sum() < 240  # Three standard deviations.
  np.testing.assert_array_equal(held_out(files[::-1]), chosen[::-1])
  np.testing.assert_array_equal(held_out(files[:1000]), chosen[:1000])


def test_both_sides_have_an_image():
  assert held_out(files_of(11, 7, 9)).tolist() == [False, True, False]
  assert held_out(files_of(40, 20, 30)).tolist() == [True, False, True]
  assert held_out(files_of(5, 5)).sum() == 1
  assert held_out([]).tolist() == []


def with_paths(*paths):
  return [File(path, 1, 1, "0" * 64, True) for path in paths]


def test_classes_are_the_subfolders_if_all_images_are_in_one():
  files = with_paths("b/1.png", "a/deep/2.png", "b/3.png")
  assert classes(files) == ("a", "b")
  assert labels(files, ("a", "b")).tolist() == [1, 0, 1]
  assert labels(files, ("a", "b")).dtype == np.int32
  assert classes(with_paths("a/1.png", "a/2.png")) == ()
  assert classes(with_paths("a/1.png", "b/2.png", "3.png")) == ()
  assert classes(with_paths("1.png", "2.png")) == ()


def test_each_class_needs_images_to_train_on():
  held = np.array([False, True, False, False, False])
  check_classes("f", ("a", "b"), np.array([0, 0, 1, 1, 1]), held)
  for names, label, out, message in [
    ((), None, held, "'f' has no classes: put"),
    (("a", "b"), [0, 1, 1, 1, 1], held, "class 'a' has 1 image:"),
    (("a", "b", "c"), [0, 0, 1, 1, 1], held, "class 'c' has no image"),
    (("a", "b"), [0, 0, 1, 1, 1], np.array([True] * 2 + [False] * 3), "all 2 images of class 'a'"),
  ]:
    with pytest.raises(DataError, match=message):
      check_classes("f", names, None if label is None else np.array(label), out)


def test_threads_give_results_in_order_a_bounded_number_ahead():
  started = []

  def work(i):
    started.append(i)
    time.sleep(0.0001 * (i % 7))
    return i

  ahead = 3 * os.cpu_count() * 2
  results = map_in_threads(work, range(1000), chunk=2)
  for i in range(3):
    assert next(results) == i
  time.sleep(0.05)
  assert len(started) <= ahead + 2
  assert list(results) == list(range(3, 1000))
  n_threads = threading.active_count()
  results = map_in_threads(work, range(1000))
  next(results)
  results.close()
  assert threading.active_count() <= n_threads
