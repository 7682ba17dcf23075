"""Preparing and reading through TFDS, on tiny files of our own and without the internet."""

import shutil
import sys
import types

import numpy as np
import pytest
from helpers.preparing import (
  DAMAGES,
  SIZES,
  assert_holds,
  downloader,
  make_small,
  offline,
  prepare_tiny,
  tfds,
  tiny_arrays,
  write_files,
)

from wgan_jax.data import images, prepare, sources
from wgan_jax.data.prepare import DataError
from wgan_jax.data.sources import SOURCES


@pytest.fixture(autouse=True)
def fail_at_once(monkeypatch):
  """A test that asks for the internet by mistake must not wait 204 s for TFDS's retries."""
  monkeypatch.setattr(downloader, "MAX_RETRIES", 0)


@pytest.fixture(scope="session")
def prepared(tmp_path_factory):
  root = tmp_path_factory.mktemp("tfds")
  with pytest.MonkeyPatch.context() as patch:
    prepare_tiny(patch, root, tiny_arrays(0))
  return root


@pytest.fixture
def tiny(prepared, tmp_path, monkeypatch):
  """A prepared tiny MNIST of its own for a test that damages it, without a network."""
  make_small(monkeypatch, "mnist")
  monkeypatch.setattr(images, "can_download", offline)
  return shutil.copytree(prepared, tmp_path / "tfds")


class TestPreparing:
  def test_holds_what_the_files_hold(self, tmp_path, monkeypatch):
    arrays = tiny_arrays(1)
    assert_holds(prepare_tiny(monkeypatch, tmp_path, arrays), arrays)
    assert images.is_prepared("mnist", tmp_path)

  def test_an_ordinary_tfds_folder(self, tiny):
    data = images.load_images("mnist", tiny)
    sources = tfds.data_source(
      "mnist", data_dir=tiny, builder_kwargs={"file_format": "array_record"}, download=False
    )
    decoders = {"image": tfds.decode.SkipDecoding()}
    raw = tfds.builder_from_directory(tiny / "mnist" / "3.0.1").as_data_source(decoders=decoders)
    for split in SIZES:
      pixels, labels = getattr(data, f"{split}_images"), getattr(data, f"{split}_labels")
      np.testing.assert_array_equal([x["label"] for x in sources[split]], labels)
      decoded = [prepare._decode(x["image"]) for x in raw[split].__getitems__(range(SIZES[split]))]
      np.testing.assert_array_equal(decoded, pixels[..., 0])

  def test_takes_the_files_of_each_set_from_its_own_folder(self, tmp_path, monkeypatch):
    for seed, name in enumerate(["mnist", "fashion_mnist"]):
      arrays = tiny_arrays(seed)
      assert_holds(prepare_tiny(monkeypatch, tmp_path, arrays, name), arrays)

  def test_stdout_stays_the_launchers(self, tmp_path, monkeypatch, capsys):
    prepare_tiny(monkeypatch, tmp_path, tiny_arrays(1))
    assert not capsys.readouterr().out

  def test_a_wrong_checksum_is_refused(self, tmp_path, monkeypatch):
    write_files(prepare.manual_dir("mnist", tmp_path), tiny_arrays(1))
    monkeypatch.setattr(images, "can_download", offline)
    with pytest.raises(DataError, match=r"mnist: .*NonMatchingChecksumError.*run again$"):
      images.load_images("mnist", tmp_path)
    assert not images.is_prepared("mnist", tmp_path)

  @pytest.mark.parametrize("kind", [RuntimeError, KeyboardInterrupt])
  def test_stopped_halfway_nothing_is_prepared(self, kind, tmp_path, monkeypatch):
    seen = []

    def stop(path):
      seen.append(images.is_prepared("mnist", tmp_path))
      raise kind("stopped")

    monkeypatch.setattr(sources, "read_idx", stop)
    with pytest.raises(DataError if kind is RuntimeError else kind, match="stopped"):
      prepare_tiny(monkeypatch, tmp_path, tiny_arrays(1))
    assert seen == [False]
    assert not images.is_prepared("mnist", tmp_path)

  def test_what_a_killed_preparation_leaves_is_not_read(self, tiny):
    folder = prepare.prepared_dir("mnist", tiny)
    folder.rename(folder.with_name("incomplete.ABCDEF_3.0.1"))
    shutil.rmtree(prepare.manual_dir("mnist", tiny))
    assert not images.is_prepared("mnist", tiny)
    with pytest.raises(DataError, match="no network"):
      images.load_images("mnist", tiny)

  def test_a_folder_prepared_by_another_process_meanwhile_is_read(
    self, tiny, tmp_path, monkeypatch
  ):
    arrays, root, read = tiny_arrays(0), tmp_path / "other", sources.read_idx

    def read_late(path):
      shutil.copytree(tiny / "mnist", root / "mnist", dirs_exist_ok=True)
      return read(path)

    monkeypatch.setattr(sources, "read_idx", read_late)
    assert_holds(prepare_tiny(monkeypatch, root, arrays), arrays)

  def test_a_full_disk_is_reported_in_one_line(self, tmp_path, monkeypatch):
    def full(path):
      raise OSError(28, "No space left on device\nsecond line")

    monkeypatch.setattr(sources, "read_idx", full)
    with pytest.raises(DataError, match="No space left") as caught:
      prepare_tiny(monkeypatch, tmp_path, tiny_arrays(1))
    assert "\n" not in str(caught.value)


class TestReading:
  @pytest.mark.parametrize("damage", DAMAGES)
  def test_damage_is_reported_in_one_line(self, damage, tiny):
    folder = prepare.prepared_dir("mnist", tiny)
    damage(folder)
    with pytest.raises(
      DataError, match=r"^mnist: .*is damaged.*delete it and run again$"
    ) as caught:
      images.load_images("mnist", tiny)
    assert str(folder) in str(caught.value)
    assert "\n" not in str(caught.value)

  def test_images_of_another_shape(self, tmp_path, monkeypatch):
    with pytest.raises(DataError, match=r"is damaged .*\(27, 28\) instead of uint8 \(28, 28\)"):
      prepare_tiny(monkeypatch, tmp_path, tiny_arrays(1, (27, 28)))

  def test_labels_that_are_no_class(self, tiny, monkeypatch):
    monkeypatch.setitem(SOURCES, "mnist", SOURCES["mnist"]._replace(classes=tuple("012345678")))
    with pytest.raises(DataError, match="labels 0 to 9 instead of 0 to 8"):
      images.load_images("mnist", tiny)

  def test_a_folder_written_with_tensorflow(self, tmp_path, monkeypatch):
    folder = prepare.prepared_dir("mnist", tmp_path)
    folder.mkdir(parents=True)
    (folder / "mnist-train.tfrecord-00000-of-00001").touch()
    with pytest.raises(DataError, match=r"not in array_record.*another data_dir"):
      images.load_images("mnist", tmp_path)
    monkeypatch.setattr(images, "can_download", lambda name: True)
    assert not images.is_prepared("mnist", tmp_path)
    assert images.resolve_auto(tmp_path) == "digits"


@pytest.mark.parametrize("package", ["tensorflow_datasets", "array_record", "PIL", "requests"])
def test_a_missing_package_is_named_with_its_extra(package, tiny, tmp_path, monkeypatch):
  """A prepared folder, which cannot be read without it, is not called damaged."""
  monkeypatch.setitem(sys.modules, package, None)
  monkeypatch.setattr(prepare, "_stock_builder", prepare._stock_builder.__wrapped__)
  assert not images.is_prepared("mnist", tiny)
  assert not prepare.can_download("mnist")
  assert images.resolve_auto(tmp_path) == "digits"
  message = rf"^mnist: the package {package} is missing .*: pip install 'wgan_jax\[experiments\]'$"
  with pytest.raises(DataError, match=message):
    images.load_images("mnist", tiny)


def test_the_builder_keeps_the_stock_splits(tmp_path):
  """It asks for the four files and for two splits, even if TFDS's own code changes."""
  asked = []

  def download(urls):
    asked.extend(urls.values())
    return urls

  builder = prepare._builder("mnist", tmp_path)
  splits = builder._split_generators(types.SimpleNamespace(download=download))
  assert sorted(asked) == sorted(builder.URL + file for file in SOURCES["mnist"].files)
  assert [str(split.name) for split in splits] == ["train", "test"]
