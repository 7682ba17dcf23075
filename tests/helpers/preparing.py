"""Tiny data sets on disk, as TFDS downloads and prepares them, whole and damaged."""

import gzip
import io
import json
import shutil
import tarfile

import numpy as np
import pytest

from wgan_jax.data import images, prepare
from wgan_jax.data.sources import SOURCES

# A module that imports this one is skipped where TFDS is missing.
tfds = pytest.importorskip("tensorflow_datasets")
checksums = pytest.importorskip("tensorflow_datasets.core.download.checksums")
downloader = pytest.importorskip("tensorflow_datasets.core.download.downloader")
SIZES = {"train": 30, "test": 20}


def tiny_arrays(seed, shape=(28, 28)):
  """Random images, each with its label in its first pixel, so that a wrong pairing is seen."""
  rng = np.random.default_rng(seed)
  arrays = {}
  for split, size in SIZES.items():
    labels = rng.integers(0, 10, size, np.uint8)
    pixels = rng.integers(0, 256, (size, *shape), np.uint8)
    pixels[:, 0, 0] = labels
    arrays[split] = pixels, labels
  return arrays


def write_idx(path, array):
  header = bytes([0, 0, 8, array.ndim]) + np.array(array.shape, ">i4").tobytes()
  path.write_bytes(gzip.compress(header + array.tobytes()))


def write_files(folder, arrays):
  folder.mkdir(parents=True)
  for split, prefix in [("train", "train"), ("test", "t10k")]:
    write_idx(folder / f"{prefix}-images-idx3-ubyte.gz", arrays[split][0])
    write_idx(folder / f"{prefix}-labels-idx1-ubyte.gz", arrays[split][1])
  return folder


def tiny_cifar(seed, n_labels):
  """Random examples of CIFAR: labels, uint8 [n, n_labels], and images, by split."""
  rng = np.random.default_rng(seed)
  highest = [10] if n_labels == 1 else [20, 100]
  return {
    split: (
      rng.integers(0, highest, (n, n_labels), np.uint8),
      rng.integers(0, 256, (n, 32, 32, 3), np.uint8),
    )
    for split, n in SIZES.items()
  }


def write_cifar(folder, arrays, name):
  """Writes an archive of CIFAR's binary version, its examples spread over its files in order."""
  coarse = [f"group{i}" for i in range(20)]
  names = SOURCES[name].classes
  if name == "cifar10":
    top = "cifar-10-batches-bin/"
    files = {"train": [f"data_batch_{i}.bin" for i in range(1, 6)], "test": ["test_batch.bin"]}
    texts = {"batches.meta.txt": [*names, ""]}
  else:
    top = "cifar-100-binary/"
    files = {"train": ["train.bin"], "test": ["test.bin"]}
    texts = {"fine_label_names.txt": names, "coarse_label_names.txt": coarse}
  content = {file: "".join(f"{line}\n" for line in lines).encode() for file, lines in texts.items()}
  for split, (labels, pixels) in arrays.items():
    planes = pixels.transpose(0, 3, 1, 2).reshape(len(pixels), -1)
    examples = np.concatenate([labels, planes], 1)
    content |= {
      file: part.tobytes()
      for file, part in zip(files[split], np.split(examples, len(files[split])), strict=True)
    }
  folder.mkdir(parents=True)
  with tarfile.open(folder / SOURCES[name].files[0], "w:gz", compresslevel=1) as archive:
    for file, data in reversed(content.items()):  # Their order in the archive means nothing.
      info = tarfile.TarInfo(top + file)
      info.size = len(data)
      archive.addfile(info, io.BytesIO(data))
  return folder


def make_small(patch, name):
  """Makes a data set expect as many examples as tiny ones have."""
  patch.setitem(SOURCES, name, SOURCES[name]._replace(sizes=SIZES))


def register(patch, name, folder):
  """Makes TFDS expect the files of `folder`: as many examples, and their checksums."""
  make_small(patch, name)
  row, builder = SOURCES[name], prepare._builder_cls(name)
  for file in row.files:
    url = row.find_url(prepare._stock_builder(name), file)
    patch.setitem(builder.url_infos, url, checksums.compute_url_info(folder / file))


def offline(name, timeout=None):
  return False


def prepare_tiny(patch, root, arrays, name="mnist"):
  register(patch, name, write_files(prepare.manual_dir(name, root), arrays))
  patch.setattr(images, "can_download", offline)
  return images.load_images(name, root)


def assert_holds(data, arrays):
  for split in SIZES:
    pixels, labels = getattr(data, f"{split}_images"), getattr(data, f"{split}_labels")
    assert pixels.dtype == np.uint8
    assert labels.dtype == np.int32
    np.testing.assert_array_equal(pixels[:, 0, 0, 0], labels)
    assert sorted(x.tobytes() for x in pixels) == sorted(x.tobytes() for x in arrays[split][0])


def truncate(folder):
  path = next(folder.glob("*train.array_record*"))
  path.write_bytes(path.read_bytes()[:65_536])  # Read as empty records: no error of the reader.


def halve(folder):
  path = next(folder.glob("*test.array_record*"))
  path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])


def flip_a_bit(folder):
  path = next(folder.glob("*train.array_record*"))
  content = bytearray(path.read_bytes())
  content[len(content) // 8] ^= 1
  path.write_bytes(content)


def lose_a_shard(folder):
  next(folder.glob("*test.array_record*")).unlink()


def lose_the_info(folder):
  (folder / "dataset_info.json").unlink()


def break_the_info(folder):
  path = folder / "dataset_info.json"
  path.write_text(path.read_text()[:100])


def miscount(folder, claimed):
  path = folder / "dataset_info.json"
  info = json.loads(path.read_text())
  info["splits"][0]["shardLengths"] = [str(claimed)]
  path.write_text(json.dumps(info))


def claim_less(folder):
  miscount(folder, 29)


def claim_more(folder):
  miscount(folder, 31)


def lose_a_split(folder):
  path = folder / "dataset_info.json"
  info = json.loads(path.read_text())
  del info["splits"][1]
  path.write_text(json.dumps(info))


def lose_everything(folder):
  shutil.rmtree(folder)
  folder.mkdir()


DAMAGES = (
  truncate,
  halve,
  flip_a_bit,
  lose_a_shard,
  lose_the_info,
  break_the_info,
  claim_less,
  claim_more,
  lose_a_split,
  lose_everything,
)
"""Functions that damage a prepared folder, each in its own way."""
