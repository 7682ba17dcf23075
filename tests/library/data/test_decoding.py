"""Image files of all kinds, and what is wrong with them."""

import binascii
import io
import struct
import threading
import warnings
import zlib

import numpy as np
import pytest
from PIL import Image, ImageOps

from wgan_jax.data.decoding import decode, is_grey, open_image
from wgan_jax.data.prepare import DataError

RNG = np.random.default_rng(0)
GREY = RNG.integers(0, 256, (16, 24), dtype=np.uint8)
RGB = RNG.integers(0, 256, (16, 24, 3), dtype=np.uint8)
ALPHA = np.where(np.arange(24) < 12, np.uint8(0), np.uint8(255)) * np.ones((16, 1), np.uint8)
SIZE = (16, 24)


def encode(image, kind="PNG", **options):
  file = io.BytesIO()
  image = image if isinstance(image, Image.Image) else Image.fromarray(image)
  image.save(file, kind, **options)
  return file.getvalue()


def read(content, size=SIZE, channels=3):
  return decode(io.BytesIO(content), size, channels)


def png(width, height, depth, colour, rows, chunks=()):
  """A PNG of any depth, written by hand: PIL writes no colours of 16 bits."""

  def chunk(name, data):
    crc = struct.pack(">I", binascii.crc32(name + data))
    return struct.pack(">I", len(data)) + name + data + crc

  header = struct.pack(">IIBBBBB", width, height, depth, colour, 0, 0, 0)
  body = b"".join(b"\0" + row for row in rows)
  return (
    b"\x89PNG\r\n\x1a\n"
    + chunk(b"IHDR", header)
    + b"".join(chunk(*each) for each in chunks)
    + chunk(b"IDAT", zlib.compress(body))
    + chunk(b"IEND", b"")
  )


def grey_of(content):
  with open_image(io.BytesIO(content)) as image:
    return is_grey(image)


def palette_image(colours):
  image = Image.fromarray(GREY % len(colours)).copy()
  image.putpalette(np.array(colours, np.uint8).tobytes())
  return image


@pytest.mark.parametrize("kind", ["PNG", "WEBP"])
def test_pixels_of_the_size_asked_for_come_back_exactly(kind, tmp_path):
  path = tmp_path / "a b\n.png"
  path.write_bytes(encode(RGB, kind, lossless=True))
  np.testing.assert_array_equal(decode(path, SIZE, 3), RGB)
  path.write_bytes(encode(GREY, kind, lossless=True))
  np.testing.assert_array_equal(decode(str(path), SIZE, 1), GREY[..., None])
  np.testing.assert_array_equal(decode(path, SIZE, 3), np.stack([GREY] * 3, axis=-1))


def test_colours_become_luma():
  expected = RGB @ np.array([0.299, 0.587, 0.114])
  assert np.abs(read(encode(RGB), channels=1)[..., 0] - expected).max() <= 0.51


def test_palettes_are_grey_if_all_their_colours_are():
  greys = palette_image([[0, 0, 0], [77, 77, 77], [255, 255, 255]])
  mixed = palette_image([[0, 0, 0], [200, 10, 30], [255, 255, 255]])
  assert grey_of(encode(greys))
  for colour in ([200, 10, 30], [0, 9, 9], [5, 5, 6]):
    assert not grey_of(encode(palette_image([[0, 0, 0], colour, [255, 255, 255]])))
  np.testing.assert_array_equal(
    read(encode(greys), channels=1)[..., 0], np.array([0, 77, 255])[GREY % 3]
  )
  colours = np.array([[0, 0, 0], [200, 10, 30], [255, 255, 255]])
  np.testing.assert_array_equal(read(encode(mixed)), colours[GREY % 3])


@pytest.mark.parametrize("transparency", [1, b"\xff\x00\xff"])
def test_transparent_entries_of_a_palette_are_white(transparency):
  image = palette_image([[0, 0, 0], [200, 10, 30], [9, 9, 9]])
  expected = np.array([[0, 0, 0], [255, 255, 255], [9, 9, 9]])[GREY % 3]
  np.testing.assert_array_equal(read(encode(image, transparency=transparency)), expected)


def test_alpha_is_laid_on_white():
  expected = np.where(ALPHA[..., None] > 0, RGB, 255)
  rgba = np.concatenate([RGB, ALPHA[..., None]], axis=-1)
  np.testing.assert_array_equal(read(encode(rgba)), expected)
  np.testing.assert_array_equal(read(encode(rgba, "WEBP", lossless=True)), expected)
  grey_alpha = encode(Image.merge("LA", [Image.fromarray(GREY), Image.fromarray(ALPHA)]))
  expected = np.where(ALPHA > 0, GREY, 255)
  np.testing.assert_array_equal(read(grey_alpha, channels=1)[..., 0], expected)
  assert grey_of(grey_alpha)
  half = np.full((16, 24, 4), 128, np.uint8)
  assert set(np.unique(read(encode(half)))) <= {191, 192}
  key = png(24, 16, 8, 0, list(map(bytes, GREY)), [(b"tRNS", struct.pack(">H", GREY[0, 0]))])
  expected = np.where(GREY[0, 0] == GREY, 255, GREY)
  np.testing.assert_array_equal(read(key, channels=1)[..., 0], expected)


def test_16_bits_become_8_by_257():
  values = RNG.integers(0, 65536, (16, 24))
  expected = np.rint(values / 257)
  rows = [row.astype(">u2").tobytes() for row in values]
  for content in (png(24, 16, 16, 0, rows), encode(values.astype(np.uint16))):
    np.testing.assert_array_equal(read(content, channels=1)[..., 0], expected)
    np.testing.assert_array_equal(read(content)[..., 2], expected)
    assert grey_of(content)
  key = png(24, 16, 16, 0, rows, [(b"tRNS", struct.pack(">H", values[3, 4]))])
  assert read(key, channels=1)[3, 4, 0] == 255
  values = RNG.integers(0, 65536, (16, 24, 3))
  content = png(24, 16, 16, 2, [row.astype(">u2").tobytes() for row in values])
  assert np.abs(read(content) - values / 257).max() <= 1
  assert not grey_of(content)


def test_one_bit_is_black_and_white():
  content = encode(Image.fromarray(GREY > 100))
  assert grey_of(content)
  np.testing.assert_array_equal(read(content, channels=1)[..., 0], (GREY > 100) * np.uint8(255))


def test_cmyk_is_read_as_colours():
  flat = Image.new("RGB", (24, 16), (200, 40, 90))
  pixels = read(encode(flat.convert("CMYK"), "JPEG", quality=95))
  assert np.abs(pixels - np.array([200.0, 40, 90])).max() <= 4
  assert not grey_of(encode(flat.convert("CMYK"), "JPEG"))
  assert grey_of(encode(GREY, "JPEG"))


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("kind", ["JPEG", "PNG", "WEBP"])
def test_pictures_stand_upright(orientation, kind):
  exif = Image.Exif()
  exif[0x0112] = orientation
  content = encode(RGB, kind, exif=exif)
  with Image.open(io.BytesIO(content)) as image:
    upright = np.asarray(ImageOps.exif_transpose(image).convert("RGB"))
  np.testing.assert_array_equal(read(content, upright.shape[:2]), upright)


def test_damaged_exif_leaves_the_pixels():
  content = encode(RGB, "PNG", exif=b"Exif\0\0MM\0*\0\0\0\x08\xff\xffgarbage")
  np.testing.assert_array_equal(read(content), RGB)


@pytest.mark.parametrize("kind", ["PNG", "WEBP"])
def test_the_first_frame_counts(kind):
  others = [Image.new("RGB", (24, 16), colour) for colour in ("red", "blue")]
  content = encode(RGB, kind, save_all=True, append_images=others, lossless=True, duration=9)
  np.testing.assert_array_equal(read(content), RGB)


def test_the_centre_is_cropped_then_resized_once():
  columns = np.broadcast_to(np.arange(24, dtype=np.uint8)[None] * 10, (16, 24))
  np.testing.assert_array_equal(read(encode(columns), (16, 16), 1)[0, :, 0], columns[0, 4:20])
  rows = columns.T
  np.testing.assert_array_equal(read(encode(rows), (16, 16), 1)[:, 0, 0], columns[0, 4:20])
  once = Image.fromarray(RGB).resize((12, 8), Image.Resampling.LANCZOS)
  np.testing.assert_array_equal(read(encode(RGB), (8, 12)), np.asarray(once))
  assert read(encode(RGB), (64, 32)).shape == (64, 32, 3)
  # An odd margin costs no blur.
  odd = RNG.integers(0, 256, (16, 17, 3), dtype=np.uint8)
  np.testing.assert_array_equal(read(encode(odd), (16, 16)), odd[:, :16])


@pytest.mark.parametrize(
  ("content", "reason"),
  [
    (b"", "empty"),
    (b"a text", "no PNG"),
    (encode(RGB)[:60], "not an image"),
    (encode(RGB)[:600], "not an image"),
    (encode(RGB, "JPEG")[:700], "not an image"),
    (encode(RGB, "WEBP")[:200], "not an image"),
    (encode(np.zeros((1, 1), np.uint8)), "under 8 pixels"),
    (encode(np.zeros((7, 20), np.uint8)), "under 8 pixels"),
    (encode(np.zeros((8, 161), np.uint8)), "more than 20 times"),
    (encode(Image.new("1", (20000, 10))), "more than 20 times"),
    (png(10_000, 10_000, 8, 0, []), "limit of"),
    (png(60_000, 60_000, 8, 0, []), "limit of"),
  ],
)
def test_what_cannot_be_used_is_one_line_with_the_name(content, reason, tmp_path):
  path = tmp_path / "bad\none.png"
  path.write_bytes(content)
  with warnings.catch_warnings():
    warnings.simplefilter("error")
    with pytest.raises(DataError, match=reason) as error:
      decode(path, SIZE, 3)
  assert r"bad\none.png" in str(error.value)
  assert "\n" not in str(error.value)


def test_any_flipped_bit_of_a_png_is_an_error_or_changes_nothing():
  content = encode(RGB[:8, :8])
  start = content.index(b"IDAT") + 4
  rng = np.random.default_rng(1)
  for bit in rng.integers(8 * start, 8 * (len(content) - 16), 60):
    changed = bytearray(content)
    changed[bit // 8] ^= 1 << bit % 8
    try:
      pixels = read(bytes(changed), (8, 8))
    except DataError:
      continue
    np.testing.assert_array_equal(pixels, RGB[:8, :8])


def test_a_missing_file_is_named(tmp_path):
  with pytest.raises(DataError, match=r"gone\.png.*cannot be read \(No such file"):
    decode(tmp_path / "gone.png", SIZE, 3)


def test_threads_do_not_disturb_each_other():
  contents = [encode(RGB), png(10_000, 10_000, 8, 0, []), b"text"]
  outcomes = []

  def work():
    for content in contents * 10:
      try:
        outcomes.append(read(content).tobytes() == RGB.tobytes())
      except DataError:
        outcomes.append("refused")

  threads = [threading.Thread(target=work) for _ in range(4)]
  for thread in threads:
    thread.start()
  for thread in threads:
    thread.join()
  assert outcomes.count(True) == 40
  assert outcomes.count("refused") == 80


def test_other_numbers_of_channels_are_refused():
  with pytest.raises(ValueError, match="channels must be 1 or 3, got 4"):
    read(encode(RGB), channels=4)
