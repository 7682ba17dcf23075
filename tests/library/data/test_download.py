"""Downloads and where they go: servers, proxies and folders, without the internet."""

import http.server
import socket
import threading
import time

import pytest
from helpers.preparing import assert_holds, downloader, register, tiny_arrays, write_files

from wgan_jax.data import images, prepare
from wgan_jax.data.prepare import DataError
from wgan_jax.data.sources import SOURCES


@pytest.fixture(autouse=True)
def fail_at_once(monkeypatch):
  """A test that asks for the internet by mistake must not wait 204 s for TFDS's retries."""
  monkeypatch.setattr(downloader, "MAX_RETRIES", 0)


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


class TestDownloading:
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

  def test_an_unknown_checksum_is_refused(self, serve, tmp_path, monkeypatch):
    serve("mnist", tiny_arrays(1))
    for file in SOURCES["mnist"].files:
      builder = prepare._builder_cls("mnist")
      monkeypatch.delitem(builder.url_infos, builder.URL + file)
    with pytest.raises(DataError, match="checksum"):
      images.load_images("mnist", tmp_path)


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
