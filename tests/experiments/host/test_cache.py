"""The user's cache folder; damage and full disks are in test_classifiers.py."""

import pathlib
import sys

import chex
import numpy as np
import pytest

from experiments.host import cache, environment
from experiments.host.cache import load_cached_images
from experiments.host.errors import UserError
from wgan_jax.data import images, prepare
from wgan_jax.data.images import DataError, Images

IMAGES = Images(
  "mnist",
  np.arange(3 * 784, dtype=np.uint8).reshape(3, 28, 28, 1),
  np.arange(3, dtype=np.int32),
  np.ones((2, 28, 28, 1), np.uint8),
  np.zeros(2, np.int32),
  images.class_names("mnist"),
)


def assert_equal(loaded):
  chex.assert_trees_all_equal(loaded[1:5], IMAGES[1:5])
  assert loaded.classes == IMAGES.classes


def test_without_an_absolute_cache_home_it_is_in_the_home_folder(monkeypatch, tmp_path):
  monkeypatch.setattr(pathlib.Path, "home", lambda: tmp_path / "home")
  for value in ("", "relative"):
    monkeypatch.setenv("XDG_CACHE_HOME", value)
    assert cache.user_cache_folder() == tmp_path / "home" / ".cache" / "wgan_jax"
  monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
  assert cache.user_cache_folder() == tmp_path / "wgan_jax"


@pytest.fixture
def prepared(tmp_path, monkeypatch):
  """-> the prepared folder of a data set, and the names that were loaded."""
  folder = tmp_path / "tfds" / "mnist"
  folder.mkdir(parents=True)
  (folder / "mnist-train.array_record-00000-of-00001").write_bytes(b"records")
  monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
  monkeypatch.setattr(prepare, "prepared_dir", lambda name, root: folder)
  reads = []

  def load(name, data_dir):
    reads.append(name)
    return IMAGES

  monkeypatch.setattr(cache, "load_images", load)
  return folder, reads


def test_images_are_decoded_once(prepared, tmp_path):
  _, reads = prepared
  for _ in range(2):
    assert_equal(load_cached_images("mnist", tmp_path))
  assert reads == ["mnist"]


def test_other_records_and_a_damaged_cache_are_read_by_tfds(prepared, tmp_path):
  folder, reads = prepared
  load_cached_images("mnist", tmp_path)
  (kept,) = (tmp_path / "cache" / "wgan_jax" / "images").iterdir()
  kept.write_bytes(kept.read_bytes()[:-100])
  assert_equal(load_cached_images("mnist", tmp_path))
  assert len(reads) == 2
  (folder / "mnist-train.array_record-00000-of-00001").write_bytes(b"recordz")
  load_cached_images("mnist", tmp_path)
  assert len(reads) == 3


def test_a_cache_that_cannot_be_written_is_ignored(prepared, tmp_path):
  _, reads = prepared
  (tmp_path / "cache").touch()
  for _ in range(2):
    assert_equal(load_cached_images("mnist", tmp_path))
  assert len(reads) == 2


def test_a_folder_within_the_prepared_one_is_ignored(prepared, tmp_path):
  folder, reads = prepared
  (folder / "mine").mkdir()
  for _ in range(2):
    load_cached_images("mnist", tmp_path)
  assert len(reads) == 1


def test_what_tfds_refuses_is_refused(prepared, tmp_path, monkeypatch):
  def fail(name, data_dir):
    raise DataError("damaged")

  monkeypatch.setattr(cache, "load_images", fail)
  with pytest.raises(DataError):
    load_cached_images("mnist", tmp_path)


class TestCompilationCache:
  @pytest.fixture
  def config(self, monkeypatch):
    """-> the options that JAX would be given."""
    options = {}
    monkeypatch.setattr(environment.jax.config, "update", options.__setitem__)
    monkeypatch.setattr(environment, "_given_cache", lambda: None)
    return options

  def test_is_in_the_users_cache_folder(self, config, tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    environment.use_compilation_cache(None)
    assert config["jax_compilation_cache_dir"] == str(tmp_path / "wgan_jax" / "compiled")
    assert (tmp_path / "wgan_jax" / "compiled").is_dir()

  def test_or_where_it_is_asked_for(self, config, tmp_path):
    environment.use_compilation_cache(str(tmp_path / "here"))
    assert config["jax_compilation_cache_dir"] == str(tmp_path / "here")

  def test_or_nowhere(self, config):
    environment.use_compilation_cache("none")
    assert config == {"jax_enable_compilation_cache": False}

  def test_a_folder_that_jax_was_given_stays(self, config, monkeypatch):
    monkeypatch.setattr(environment, "_given_cache", lambda: "/there")
    environment.use_compilation_cache(None)
    assert config == {}

  def test_a_folder_that_cannot_be_written_is_refused_if_asked_for(
    self, config, tmp_path, monkeypatch
  ):
    (tmp_path / "file").touch()
    with pytest.raises(UserError, match=r"--compilation_cache=.*cannot be written"):
      environment.use_compilation_cache(str(tmp_path / "file"))
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "file"))
    environment.use_compilation_cache(None)
    assert config == {}


def test_the_digits_are_cached_for_each_version_of_scikit_learn(prepared, monkeypatch):
  _, reads = prepared
  for _ in range(2):
    assert_equal(load_cached_images("digits"))
  assert reads == ["digits"]
  monkeypatch.setattr(cache.importlib.metadata, "version", lambda name: "0.0")
  load_cached_images("digits")
  assert reads == ["digits"] * 2


def test_without_scikit_learn_the_digits_are_refused_by_their_loader(prepared, monkeypatch):
  def version(name):
    raise cache.importlib.metadata.PackageNotFoundError(name)

  monkeypatch.setattr(cache.importlib.metadata, "version", version)
  monkeypatch.setattr(cache, "load_images", images.load_images)
  monkeypatch.setitem(sys.modules, "sklearn", None)
  with pytest.raises(DataError, match=r"^digits: the package sklearn is missing"):
    load_cached_images("digits")


def test_a_user_without_a_home_has_no_cache(monkeypatch, tmp_path, capsys):
  monkeypatch.delenv("XDG_CACHE_HOME", raising=False)

  def homeless():
    raise RuntimeError("Could not determine home directory.")

  monkeypatch.setattr(cache.pathlib.Path, "home", homeless)
  cache._warn_homeless.cache_clear()
  for _ in range(2):
    path = cache.user_cache_folder() / "a.npz"
    with pytest.raises(OSError, match="Not a directory"):
      cache.write_arrays(path, {"a": np.ones(2)})
    with pytest.raises(OSError, match="Not a directory"):
      cache.read_arrays(path)
  assert capsys.readouterr().err.count("warning: this user has no home folder") == 1
