"""Preparing and reading through TFDS, on tiny files of our own and without the internet."""

import gzip
import http.server
import json
import shutil
import socket
import sys
import threading
import time
import types

import numpy as np
import pytest
import tensorflow_datasets as tfds
from tensorflow_datasets.core.download import checksums, downloader

from wgan_jax.data import images, prepare
from wgan_jax.data.prepare import DataError

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


def register(patch, name, folder):
  """Makes TFDS expect the files of `folder`: as many examples, and their checksums."""
  patch.setattr(prepare, "SIZES", SIZES)
  builder = prepare._builder_cls(name)
  for file in prepare.FILES:
    patch.setitem(builder.url_infos, builder.URL + file, checksums.compute_url_info(folder / file))


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
  monkeypatch.setattr(prepare, "SIZES", SIZES)
  monkeypatch.setattr(images, "can_download", offline)
  return shutil.copytree(prepared, tmp_path / "tfds")


@pytest.fixture
def serve(tmp_path, monkeypatch):
  """Serves a folder over HTTP on this machine, in the place of TFDS's servers."""

  class Handler(http.server.SimpleHTTPRequestHandler):
    def __init__(self, *args):
      super().__init__(*args, directory=tmp_path / "server")

    def log_message(self, *args):
      pass

  monkeypatch.setenv("NO_PROXY", "127.0.0.1")
  with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
    threading.Thread(target=server.serve_forever, daemon=True).start()

    def publish(name, arrays):
      folder = write_files(tmp_path / "server" / name, arrays)
      url = f"http://127.0.0.1:{server.server_port}/{name}/"
      monkeypatch.setattr(prepare._stock_builder(name), "URL", url)
      register(monkeypatch, name, folder)

    yield publish
    server.shutdown()


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

  def test_downloads_two_sets_whose_files_have_the_same_names(self, serve, tmp_path):
    sets = {"mnist": tiny_arrays(2), "fashion_mnist": tiny_arrays(3)}
    root = tmp_path / "tfds"
    root.mkdir()
    for name, arrays in sets.items():
      serve(name, arrays)
    for name, arrays in sets.items():
      assert prepare.can_download(name)
      assert_holds(images.load_images(name, root), arrays)
    assert_holds(images.load_images("mnist", root), sets["mnist"])

  def test_takes_the_files_of_each_set_from_its_own_folder(self, tmp_path, monkeypatch):
    for seed, name in enumerate(prepare.NAMES):
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

  def test_an_unknown_checksum_is_refused(self, serve, tmp_path, monkeypatch):
    serve("mnist", tiny_arrays(1))
    for file in prepare.FILES:
      builder = prepare._builder_cls("mnist")
      monkeypatch.delitem(builder.url_infos, builder.URL + file)
    with pytest.raises(DataError, match="checksum"):
      images.load_images("mnist", tmp_path)

  @pytest.mark.parametrize("kind", [RuntimeError, KeyboardInterrupt])
  def test_stopped_halfway_nothing_is_prepared(self, kind, tmp_path, monkeypatch):
    seen = []

    def stop(path):
      seen.append(images.is_prepared("mnist", tmp_path))
      raise kind("stopped")

    monkeypatch.setattr(prepare, "_read_idx", stop)
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
    arrays, root, read = tiny_arrays(0), tmp_path / "other", prepare._read_idx

    def read_late(path):
      shutil.copytree(tiny / "mnist", root / "mnist", dirs_exist_ok=True)
      return read(path)

    monkeypatch.setattr(prepare, "_read_idx", read_late)
    assert_holds(prepare_tiny(monkeypatch, root, arrays), arrays)

  def test_a_full_disk_is_reported_in_one_line(self, tmp_path, monkeypatch):
    def full(path):
      raise OSError(28, "No space left on device\nsecond line")

    monkeypatch.setattr(prepare, "_read_idx", full)
    with pytest.raises(DataError, match="No space left") as caught:
      prepare_tiny(monkeypatch, tmp_path, tiny_arrays(1))
    assert "\n" not in str(caught.value)

  def test_not_an_idx_file(self, tmp_path):
    (tmp_path / "x.gz").write_bytes(gzip.compress(b"\0\0\x0d\1\0\0\0\0"))
    with pytest.raises(ValueError, match=r"x\.gz is not an IDX file"):
      prepare._read_idx(tmp_path / "x.gz")


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


class TestReading:
  @pytest.mark.parametrize(
    "damage",
    [
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
    ],
  )
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
    monkeypatch.setattr(prepare, "N_CLASSES", 9)
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


class TestDataRoot:
  def test_the_argument_then_the_environment_then_the_default(self, tmp_path, monkeypatch):
    (tmp_path / "a").mkdir()
    (tmp_path / "b").mkdir()
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("TFDS_DATA_DIR", str(tmp_path / "b"))
    assert prepare.data_root("~/a") == tmp_path / "a"
    assert prepare.data_root() == tmp_path / "b"
    monkeypatch.delenv("TFDS_DATA_DIR")
    assert prepare.data_root() == tmp_path / "tensorflow_datasets"

  def test_a_folder_that_was_named_must_exist(self, tmp_path, monkeypatch):
    (tmp_path / "file").touch()
    with pytest.raises(DataError, match=r"^data_dir .*typo' does not exist: "):
      prepare.data_root(tmp_path / "typo")
    with pytest.raises(DataError, match=r"^data_dir .*file' is not a folder: "):
      prepare.data_root(tmp_path / "file")
    monkeypatch.setenv("TFDS_DATA_DIR", str(tmp_path / "typo"))
    with pytest.raises(DataError, match=r"^TFDS_DATA_DIR .*typo' does not exist: "):
      prepare.data_root()


def at(monkeypatch, url):
  monkeypatch.setenv("NO_PROXY", "127.0.0.1")
  monkeypatch.setattr(prepare._stock_builder("mnist"), "URL", url)


class TestCanDownload:
  """That it can is seen in `test_downloads_two_sets_whose_files_have_the_same_names`."""

  def test_a_refused_connection(self, monkeypatch):
    with socket.create_server(("127.0.0.1", 0)) as unused:
      port = unused.getsockname()[1]
    at(monkeypatch, f"http://127.0.0.1:{port}/")
    assert not prepare.can_download("mnist")

  def test_a_missing_file(self, serve, monkeypatch):
    serve("mnist", tiny_arrays(1))
    at(monkeypatch, prepare._stock_builder("mnist").URL + "elsewhere/")
    assert not prepare.can_download("mnist")

  def test_a_server_that_never_answers(self, monkeypatch):
    with socket.create_server(("127.0.0.1", 0)) as silent:
      at(monkeypatch, f"http://127.0.0.1:{silent.getsockname()[1]}/")
      start = time.monotonic()
      assert not prepare.can_download("mnist", timeout=0.3)
      assert 0.2 < time.monotonic() - start < 2

  def test_a_dns_query_that_hangs(self, monkeypatch):
    released = threading.Event()

    def hang(*args, **kwargs):
      released.wait(30)
      raise socket.gaierror("no such host")

    at(monkeypatch, "http://host.invalid/")
    monkeypatch.setattr(socket, "getaddrinfo", hang)
    start = time.monotonic()
    assert not prepare.can_download("mnist", timeout=0.3)
    released.set()
    assert time.monotonic() - start < 2

  def test_through_the_proxy_of_the_environment(self, monkeypatch):
    asked = []

    class Proxy(http.server.BaseHTTPRequestHandler):
      def do_HEAD(self):
        asked.append(self.path)
        self.send_response(200)
        self.end_headers()

      def log_message(self, *args):
        pass

    at(monkeypatch, "http://host.invalid/")
    with http.server.HTTPServer(("127.0.0.1", 0), Proxy) as proxy:
      monkeypatch.setenv("http_proxy", f"http://127.0.0.1:{proxy.server_port}")
      threading.Thread(target=proxy.serve_forever, daemon=True).start()
      assert prepare.can_download("mnist")
      proxy.shutdown()
    assert asked == ["http://host.invalid/t10k-labels-idx1-ubyte.gz"]


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
  assert sorted(asked) == sorted(builder.URL + file for file in prepare.FILES)
  assert [str(split.name) for split in splits] == ["train", "test"]
