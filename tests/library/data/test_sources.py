"""Rows of data sets: the original files' content, as TFDS's own builders would prepare it."""

import gzip
import io
import tarfile

import numpy as np
import pytest
from helpers.preparing import (
  SIZES,
  downloader,
  offline,
  register,
  tfds,
  tiny_cifar,
  write_cifar,
)

from wgan_jax.data import images, prepare
from wgan_jax.data.prepare import DataError
from wgan_jax.data.sources import SOURCES, read_cifar, read_idx

CIFAR = {"cifar10": 1, "cifar100": 2}  # Labels of an example.


@pytest.fixture(autouse=True)
def fail_at_once(monkeypatch):
  """A test that asks for the internet by mistake must not wait 204 s for TFDS's retries."""
  monkeypatch.setattr(downloader, "MAX_RETRIES", 0)
  monkeypatch.setattr(images, "can_download", offline)


def prepare_cifar(patch, root, name, arrays):
  register(patch, name, write_cifar(prepare.manual_dir(name, root), arrays, name))
  return images.load_images(name, root)


@pytest.mark.parametrize("name", CIFAR)
def test_cifar_holds_what_its_archive_holds(name, tmp_path, monkeypatch):
  """Pixels, their channels, labels, and the pairing of these; of CIFAR-100 the fine labels."""
  arrays = tiny_cifar(0, CIFAR[name])
  data = prepare_cifar(monkeypatch, tmp_path, name, arrays)
  assert images.is_prepared(name, tmp_path)
  assert data.classes == images.class_names(name)
  for split, (labels, pixels) in arrays.items():
    read, read_labels = getattr(data, f"{split}_images"), getattr(data, f"{split}_labels")
    assert read.dtype == np.uint8
    assert read_labels.dtype == np.int32
    assert read.shape == (SIZES[split], *images.image_shape(name))
    expected = {image.tobytes(): label for image, label in zip(pixels, labels[:, -1], strict=True)}
    found = {image.tobytes(): label for image, label in zip(read, read_labels, strict=True)}
    assert found == expected


@pytest.mark.parametrize("name", CIFAR)
def test_cifar_is_an_ordinary_tfds_folder(name, tmp_path, monkeypatch):
  """TFDS reads it by itself, with the keys, ids and names that its own builder writes."""
  arrays = tiny_cifar(1, CIFAR[name])
  prepare_cifar(monkeypatch, tmp_path, name, arrays)
  options = {"file_format": "array_record"}
  sources = tfds.data_source(name, data_dir=tmp_path, builder_kwargs=options, download=False)
  features = tfds.builder(name, data_dir=tmp_path, **options).info.features
  assert tuple(features["label"].names) == images.class_names(name)
  for split, (labels, pixels) in arrays.items():
    for example in sources[split]:
      index = int(example["id"].decode().removeprefix(f"{split}_"))
      np.testing.assert_array_equal(example["image"], pixels[index])
      assert example["label"] == labels[index, -1]
      if name == "cifar100":
        assert example["coarse_label"] == labels[index, 0]
        assert features["coarse_label"].int2str(3) == "group3"


def test_a_damaged_archive_is_refused(tmp_path, monkeypatch):
  folder = write_cifar(prepare.manual_dir("cifar10", tmp_path), tiny_cifar(0, 1), "cifar10")
  register(monkeypatch, "cifar10", folder)
  (path,) = folder.iterdir()
  path.write_bytes(path.read_bytes()[:-10])
  with pytest.raises(DataError, match=r"^cifar10: .*NonMatchingChecksumError.*run again$"):
    images.load_images("cifar10", tmp_path)


def write_archive(path, content):
  with tarfile.open(path, "w:gz") as archive:
    info = tarfile.TarInfo("a.bin")
    info.size = len(content)
    archive.addfile(info, io.BytesIO(content))
  return path


def test_planes_become_channels(tmp_path):
  """Red, then green, then blue, each row by row."""
  planes = np.stack([np.arange(1024) // 32, np.arange(1024) % 32, np.full(1024, 7)])
  example = bytes([9, 4]) + planes.astype(np.uint8).tobytes()
  ((labels, image),) = read_cifar(write_archive(tmp_path / "x.tar.gz", example), "a.bin", 2)
  np.testing.assert_array_equal(labels, [9, 4])
  np.testing.assert_array_equal(image[3, 5], [3, 5, 7])


def test_not_a_whole_number_of_examples(tmp_path):
  path = write_archive(tmp_path / "x.tar.gz", bytes(3073 + 5))
  with pytest.raises(ValueError, match="reshape"):
    list(read_cifar(path, "a.bin", 1))
  with pytest.raises(KeyError, match="b\\.bin"):
    list(read_cifar(path, "b.bin", 1))


def test_not_an_idx_file(tmp_path):
  (tmp_path / "x.gz").write_bytes(gzip.compress(b"\0\0\x0d\1\0\0\0\0"))
  with pytest.raises(ValueError, match=r"x\.gz is not an IDX file"):
    read_idx(tmp_path / "x.gz")


@pytest.mark.parametrize("name", SOURCES)
def test_a_row_agrees_with_tfds(name, tmp_path):
  """Shape, number of classes, and a registered checksum of every file's address."""
  row, stock = SOURCES[name], prepare._stock_builder(name)
  for file in row.files:
    url = row.find_url(stock, file)
    assert url.endswith(f"/{file}")
    assert url in stock.url_infos
  builder = prepare._builder(name, tmp_path)
  assert builder.info.features["image"].shape == row.shape
  assert builder.info.features["label"].num_classes == len(row.classes)
  assert len(set(row.classes)) == len(row.classes)


def test_the_classes_of_cifar():
  """In the order of their labels; the fine classes of CIFAR-100 are in that of the alphabet."""
  assert images.class_names("cifar10")[3] == "cat"
  fine = images.class_names("cifar100")
  assert len(fine) == 100
  assert list(fine) == sorted(fine)
