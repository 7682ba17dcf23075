"""Data sets that TFDS prepares here without TensorFlow, as rows."""

import gzip
import pathlib
import tarfile
import types
import urllib.parse
from collections.abc import Callable, Iterator, Mapping
from typing import Any, NamedTuple

import numpy as np

_CIFAR10_CLASSES = "airplane automobile bird cat deer dog frog horse ship truck"
# Fine labels, as the archive's own file has them.
_CIFAR100_CLASSES = """
apple aquarium_fish baby bear beaver bed bee beetle bicycle bottle bowl boy bridge bus butterfly
camel can castle caterpillar cattle chair chimpanzee clock cloud cockroach couch crab crocodile cup
dinosaur dolphin elephant flatfish forest fox girl hamster house kangaroo keyboard lamp lawn_mower
leopard lion lizard lobster man maple_tree motorcycle mountain mouse mushroom oak_tree orange orchid
otter palm_tree pear pickup_truck pine_tree plain plate poppy porcupine possum rabbit raccoon ray
road rocket rose sea seal shark shrew skunk skyscraper snail snake spider squirrel streetcar
sunflower sweet_pepper table tank telephone television tiger tractor train trout tulip turtle
wardrobe whale willow_tree wolf woman worm
"""


class Source(NamedTuple):
  """A data set: what it holds, where its files are, and how they are read.

  Attributes:
    shape: height, width and channels of an image.
    sizes: number of examples by split, "train" and "test".
    classes: names of the classes, as TFDS has them, in the order of the labels.
    files: names of the original files.
    find_url: (TFDS's builder class, file) -> where the file is downloaded from.
    adapt: TFDS's builder class -> one with the same name, version, URLs, checksums, splits, keys
      and features, that prepares without TensorFlow.
  """

  shape: tuple[int, int, int]
  sizes: Mapping[str, int]
  classes: tuple[str, ...]
  files: tuple[str, ...]
  find_url: Callable[[Any, str], str]
  adapt: Callable[[Any], Any]


def adapt_mnist(stock: Any) -> Any:
  """The builder of a set of the MNIST family, with gzip and PIL in TensorFlow's place."""

  class Builder(stock, skip_registration=True):
    """The stock builder but for the two steps that need TensorFlow."""

    name = stock.name
    # TFDS looks for the checksums next to this module, and records it in dataset_info.json.
    __module__ = stock.__module__

    def _split_generators(self, dl_manager):
      # Not extracted: TFDS caches extracted files by file name alone, and the files of MNIST and
      # Fashion-MNIST have the same names.
      downloader = types.SimpleNamespace(download_and_extract=dl_manager.download)
      return super()._split_generators(downloader)

    def _generate_examples(self, num_examples, data_path, label_path):
      from PIL import Image

      del num_examples  # It is in the files, whose checksums were verified.
      examples = zip(read_idx(data_path), read_idx(label_path), strict=True)
      for index, (image, label) in enumerate(examples):
        yield index, {"image": Image.fromarray(image), "label": int(label)}

  return Builder


def adapt_cifar(stock: Any) -> Any:
  """The builder of CIFAR-10 or CIFAR-100, with tarfile and PIL in TensorFlow's place."""

  class Builder(stock, skip_registration=True):
    """The stock builder but for the two steps that need TensorFlow."""

    name = stock.name
    __module__ = stock.__module__

    def _split_generators(self, dl_manager):
      info = self._cifar_info
      archive = dl_manager.download(info.url)  # Not extracted: its members are read where they are.
      for key, file in zip(info.label_keys, info.label_files, strict=True):
        names = _read_member(archive, info.prefix + file).decode().split()
        self.info.features[key].names = names
      splits = {"train": info.train_files, "test": info.test_files}
      return {
        split: self._generate_examples(
          f"{split}_", [(archive, info.prefix + file) for file in files]
        )
        for split, files in splits.items()
      }

    def _generate_examples(self, split_prefix, filepaths):
      from PIL import Image

      keys, index = self._cifar_info.label_keys, 0
      for archive, member in filepaths:
        for labels, image in read_cifar(archive, member, len(keys)):
          example = dict(zip(keys, map(int, labels), strict=True))
          example |= {"id": f"{split_prefix}{index:05d}", "image": Image.fromarray(image)}
          yield index, example
          index += 1

  return Builder


def read_idx(path: str | pathlib.Path) -> np.ndarray:
  """Reads a gzipped IDX file: 0, 0, the type, the rank; the big-endian shape; the values.

  Raises:
    ValueError: the file holds something else than bytes.
  """
  content = gzip.decompress(pathlib.Path(path).read_bytes())
  if content[:3] != b"\0\0\x08":
    raise ValueError(f"{path} is not an IDX file of uint8")
  shape = np.frombuffer(content, ">i4", count=content[3], offset=4)
  return np.frombuffer(content, np.uint8, offset=4 + 4 * len(shape)).reshape(shape)


def read_cifar(
  archive: str | pathlib.Path, member: str, n_labels: int
) -> Iterator[tuple[np.ndarray, np.ndarray]]:
  """Reads a file of CIFAR's binary version: per example its labels, then red, green, blue planes.

  Args:
    archive: a .tar.gz.
    member: the file within it.
    n_labels: labels of an example, a byte each: 1 for CIFAR-10, 2 for CIFAR-100.

  Yields:
    Labels, uint8 [n_labels], and the image, uint8 [32, 32, 3], of each example in turn.

  Raises:
    KeyError: the archive has no such file.
    ValueError: the file is not a whole number of examples.
  """
  content = np.frombuffer(_read_member(archive, member), np.uint8)
  for example in content.reshape(-1, n_labels + 3 * 32 * 32):
    planes = example[n_labels:].reshape(3, 32, 32)
    yield example[:n_labels], np.ascontiguousarray(planes.transpose(1, 2, 0))


def _read_member(archive, member):
  with tarfile.open(archive, "r:gz") as files:
    return files.extractfile(member).read()


def _find_mnist_url(stock, file):
  return urllib.parse.urljoin(stock.URL, file)


def _find_cifar_url(stock, file):
  del file  # There is one.
  return stock._cifar_info.fget(stock).url


_MNIST = Source(
  shape=(28, 28, 1),
  sizes={"train": 60_000, "test": 10_000},
  classes=tuple("0123456789"),
  # Named alike on every server.
  files=(
    "t10k-labels-idx1-ubyte.gz",
    "t10k-images-idx3-ubyte.gz",
    "train-labels-idx1-ubyte.gz",
    "train-images-idx3-ubyte.gz",
  ),
  find_url=_find_mnist_url,
  adapt=adapt_mnist,
)
_CIFAR10 = Source(
  shape=(32, 32, 3),
  sizes={"train": 50_000, "test": 10_000},
  classes=tuple(_CIFAR10_CLASSES.split()),
  files=("cifar-10-binary.tar.gz",),
  find_url=_find_cifar_url,
  adapt=adapt_cifar,
)
_CIFAR100 = _CIFAR10._replace(
  classes=tuple(_CIFAR100_CLASSES.split()), files=("cifar-100-binary.tar.gz",)
)

SOURCES = {
  "mnist": _MNIST,
  "fashion_mnist": _MNIST,
  "cifar10": _CIFAR10,
  "cifar100": _CIFAR100,
}
"""The data sets by TFDS's name."""
