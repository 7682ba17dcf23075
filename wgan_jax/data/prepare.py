"""Data sets on disk: downloaded, prepared and read by TFDS, without TensorFlow."""

import contextlib
import functools
import importlib
import io
import os
import pathlib
import sys
import threading

import numpy as np

from wgan_jax.data.sources import SOURCES

NAMES = tuple(SOURCES)


class DataError(Exception):
  """Data is not available: one line with the data set, the folder or file, and what to do."""


def check_installed(name: str, *packages: str) -> None:
  """Checks that the packages that read a data set can be imported.

  The library does not depend on them, so that networks can be trained on other data without them.

  Args:
    name: the data set, for the message.
    *packages: importable names.

  Raises:
    DataError: a package is missing.
  """
  for package in packages:
    try:
      importlib.import_module(package)
    except ImportError as error:
      raise DataError(
        f"{name}: the package {package} is missing ({_reason(error)}): pip install"
        " 'wgan_jax[experiments]'"
      ) from error


def data_root(data_dir: str | os.PathLike | None = None) -> pathlib.Path:
  """The TFDS folder: `data_dir`, else TFDS_DATA_DIR, else TFDS's default.

  A named folder must exist: creating it would hide a typing error behind a download.

  Raises:
    DataError: the named folder does not exist, or is not a folder.
  """
  named = data_dir or os.environ.get("TFDS_DATA_DIR")
  if not named:
    return pathlib.Path.home() / "tensorflow_datasets"
  root = pathlib.Path(os.path.expanduser(named))
  if not os.path.isdir(root):
    source = "data_dir" if data_dir else "TFDS_DATA_DIR"
    problem = "is not a folder" if os.path.exists(root) else "does not exist"
    raise DataError(f"{source} {str(root)!r} {problem}: create it, or name the right folder")
  return root


def prepared_dir(name: str, root: pathlib.Path) -> pathlib.Path:
  """The folder of a prepared data set. It exists only once TFDS has completed it."""
  return root / name / str(_stock_builder(name).VERSION)


def has_array_records(folder: pathlib.Path) -> bool:
  """Whether a folder holds array_record files, the format that is read without TensorFlow."""
  return any(folder.glob("*.array_record*"))


def can_download(name: str, timeout: float = 5.0) -> bool:
  """Whether a data set's server answers, through the proxies of the environment.

  Args:
    name: the data set; the answer is no for one that is never downloaded, such as the digits.
    timeout: seconds to wait for the answer, even if DNS hangs or packets are dropped.

  Returns:
    True if the server answered with success in time; False if not, or if a package is missing.
  """
  if name not in NAMES:
    return False
  try:
    row = SOURCES[name]
    url = row.find_url(_stock_builder(name), row.files[0])
  except DataError:
    return False
  import requests  # TFDS downloads with it: the same proxies and certificates hold for both.

  answers = []

  def ask():
    with contextlib.suppress(Exception):  # On any error the answer is no.
      answers.append(requests.head(url, timeout=timeout, allow_redirects=True).ok)

  # No library's timeout bounds a DNS query. A daemon thread can be left behind, even at exit.
  thread = threading.Thread(target=ask, daemon=True)
  thread.start()
  thread.join(timeout)
  return answers == [True]


def manual_dir(name: str, root: pathlib.Path) -> pathlib.Path:
  """The folder for the original files, instead of a download. Data sets share file names."""
  return root / "downloads" / "manual" / name


def has_manual_files(name: str, root: pathlib.Path) -> bool:
  """Whether all original files are in `manual_dir`, so that no network is needed."""
  return all(os.path.isfile(manual_dir(name, root) / file) for file in SOURCES[name].files)


def prepare(name: str, root: pathlib.Path) -> None:
  """Downloads a data set, verifies TFDS's checksums, and writes an array_record folder.

  TFDS writes to a folder `incomplete.*` and renames it last, so a killed preparation leaves no
  folder that looks prepared.

  Raises:
    DataError: the download, a checksum or the disk failed.
  """
  try:
    import tensorflow_datasets as tfds

    config = tfds.download.DownloadConfig(
      manual_dir=manual_dir(name, root),
      force_checksums_validation=True,
      try_download_gcs=False,
    )
    with contextlib.redirect_stdout(sys.stderr):  # TFDS prints; stdout belongs to the launcher.
      _builder(name, root).download_and_prepare(download_config=config)
  except Exception as error:
    if os.path.isdir(prepared_dir(name, root)):
      return  # Another process has prepared the same folder meanwhile.
    raise DataError(
      f"{name}: could not be downloaded and prepared in {str(root)!r} ({_reason(error)}): check the"
      f" network, the disk and the files in {str(root / 'downloads')!r}, and run again"
    ) from error


def read(name: str, root: pathlib.Path) -> dict[str, tuple[np.ndarray, np.ndarray]]:
  """Reads a prepared data set into memory, in some 7 s for 70,000 examples.

  Returns:
    "train" and "test", each with images uint8 [n, height, width, channels] in 0..255 and labels
    int32 [n].

  Raises:
    DataError: the folder is damaged, incomplete, or in another format.
  """
  folder = prepared_dir(name, root)
  try:
    return _read_splits(name, root)
  except Exception as error:
    if any(folder.glob("*.tfrecord*")) and not has_array_records(folder):
      raise DataError(
        f"{name}: {str(folder)!r} is not in array_record, the format that is read without"
        " TensorFlow: name another data_dir, where it can be prepared"
      ) from error
    raise DataError(
      f"{name}: {str(folder)!r} is damaged ({_reason(error)}): delete it and run again"
    ) from error


def _read_splits(name, root):
  import tensorflow_datasets as tfds

  # Decoded here: TFDS's decoder is slower, and logs a warning if OpenCV is missing.
  decoders = {"image": tfds.decode.SkipDecoding()}
  sources = _builder(name, root).as_data_source(decoders=decoders)
  row = SOURCES[name]
  return {split: _read_source(row, sources[split], size) for split, size in row.sizes.items()}


def _read_source(row, source, size):
  if len(source) != size:
    raise ValueError(f"{len(source)} examples instead of {size}")
  examples = source.__getitems__(range(size))
  images = np.stack([_decode(example["image"]) for example in examples])
  labels = np.array([example["label"] for example in examples], np.int32)
  shape = row.shape[:2] if row.shape[2] == 1 else row.shape  # PIL gives grey images no channel.
  if images.shape[1:] != shape or images.dtype != np.uint8:
    raise ValueError(f"images {images.dtype} {images.shape[1:]} instead of uint8 {shape}")
  n_classes = len(row.classes)
  if labels.min() < 0 or labels.max() >= n_classes:
    raise ValueError(f"labels {labels.min()} to {labels.max()} instead of 0 to {n_classes - 1}")
  return images.reshape(size, *row.shape), labels


def _decode(png):
  from PIL import Image

  with Image.open(io.BytesIO(png)) as image:
    return np.asarray(image)


@functools.cache
def _stock_builder(name):
  """Gets TFDS's own builder class; checks first that all that it needs is installed."""
  check_installed(name, "tensorflow_datasets", "array_record", "PIL", "requests")
  import tensorflow_datasets as tfds  # Imported here, as it takes half a second.

  return tfds.builder_cls(name)


@functools.cache
def _builder_cls(name):
  """Makes TFDS's builder without its two steps that need TensorFlow."""
  return SOURCES[name].adapt(_stock_builder(name))


def _builder(name, root):
  return _builder_cls(name)(data_dir=root, file_format="array_record")


def _reason(error):
  """Type and first line of another package's error, so that ours stays one line."""
  return f"{type(error).__name__}: {error}".splitlines()[0][:300]
