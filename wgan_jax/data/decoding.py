"""Decodes one image file of any kind into uint8 pixels of a given size."""

import contextlib
import os
from collections.abc import Iterator
from typing import Any, BinaryIO

import numpy as np

from wgan_jax.data.prepare import DataError, check_installed

MIN_SIDE = 8  # Pixels.
MAX_ASPECT = 20  # Longer side / shorter side.

# EXIF's orientation: the method of PIL's Transpose that makes the picture upright.
_ORIENTATION = 0x0112
_UPRIGHT = {
  2: "FLIP_LEFT_RIGHT",
  3: "ROTATE_180",
  4: "FLIP_TOP_BOTTOM",
  5: "TRANSPOSE",
  6: "ROTATE_270",
  7: "TRANSVERSE",
  8: "ROTATE_90",
}


def decode(
  source: str | os.PathLike | BinaryIO, size: tuple[int, int], channels: int
) -> np.ndarray:
  """Decodes an image file, crops it around its centre, and resizes it once.

  The picture is turned upright by its EXIF orientation, and what is transparent becomes white. Grey
  levels of 16 bits become value / 257, rounded; of colours with 16 bits a channel, Pillow reads the
  upper 8. Colour profiles are ignored. Of an animation the first frame counts.

  The largest centred part with the aspect ratio of `size` is resized by Lanczos' filter. An image
  of exactly this size keeps its pixels.

  It may be called from many threads.

  Args:
    source: a PNG, JPEG or WebP file, whatever its name: a path or an open file.
    size: height and width of the result.
    channels: 1 for grey (ITU-R 601-2 luma of a colour image), 3 for RGB.

  Returns:
    uint8 [height, width, channels].

  Raises:
    DataError: the file cannot be read, is damaged, has a side under 8 pixels, a side more than 20
      times the other, or more pixels than PIL's MAX_IMAGE_PIXELS.
    ValueError: `channels` is neither 1 nor 3.
  """
  if channels not in (1, 3):
    raise ValueError(f"channels must be 1 or 3, got {channels}")
  with open_image(source) as image:
    _check_shape(image.size, source)
    with _damage(source):
      flat = _flatten(image, "L" if channels == 1 else "RGB")
  pixels = np.asarray(_fit(flat, *size))
  return pixels[..., None] if channels == 1 else pixels


@contextlib.contextmanager
def open_image(source: str | os.PathLike | BinaryIO) -> Iterator[Any]:
  """Opens an image and reads its header only; a `PIL.Image.Image`.

  PIL's own `open` would warn of large images through a filter that all threads share.

  Raises:
    DataError: the file cannot be read, or is no PNG, JPEG or WebP.
  """
  check_installed("images", "PIL")
  with contextlib.ExitStack() as stack:
    file = source
    if not hasattr(source, "read"):
      try:
        file = stack.enter_context(open(source, "rb"))
      except OSError as error:
        raise DataError(f"{_name(source)}: cannot be read ({error.strerror})") from error
    with _damage(source):
      start = file.read(16)
      file.seek(0)
      plugin = _find_plugin(start)
      image = plugin(file)
    yield image


def is_grey(image: Any) -> bool:
  """Whether the header says that the image has no colour: by mode, or by all colours of a palette.

  Args:
    image: a `PIL.Image.Image` that `open_image` opened.
  """
  if image.mode != "P":
    return image.mode in ("1", "L", "LA", "La", "I", "F") or image.mode.startswith("I;16")
  palette = np.frombuffer(bytes(image.palette.palette), np.uint8) if image.palette else ()
  colours = np.reshape(palette[: len(palette) // 3 * 3], (-1, 3))
  return len(colours) > 0 and bool((colours == colours[:, :1]).all())


def _find_plugin(start):
  """Chooses PIL's class by the file's first bytes; raises ValueError for any other kind."""
  from PIL import JpegImagePlugin, PngImagePlugin, WebPImagePlugin

  if start.startswith(b"\x89PNG\r\n\x1a\n"):
    return PngImagePlugin.PngImageFile
  if start.startswith(b"\xff\xd8\xff"):
    return JpegImagePlugin.JpegImageFile
  if start[:4] == b"RIFF" and start[8:12] == b"WEBP":
    return WebPImagePlugin.WebPImageFile
  raise ValueError("no PNG, JPEG or WebP" if start else "an empty file")


def _check_shape(size, source):
  """Refuses what is too small, too narrow or too large, by the header alone."""
  from PIL import Image

  width, height = size
  short, long = sorted(size)
  limit = Image.MAX_IMAGE_PIXELS
  problem = None
  if short < MIN_SIDE:
    problem = f"a side is under {MIN_SIDE} pixels"
  elif long > MAX_ASPECT * short:
    problem = f"a side is more than {MAX_ASPECT} times the other"
  elif limit is not None and width * height > limit:
    problem = f"more than PIL's limit of {limit} pixels"
  if problem:
    raise DataError(f"{_name(source)}: {width} x {height}, {problem}: remove it from the folder")


def _flatten(image, mode):
  """Decodes to 8 bits of `mode`, upright, without alpha."""
  from PIL import Image

  image.load()
  # Some kinds of file hold it behind the pixels, so it is read after them.
  method = _UPRIGHT.get(_orientation(image))
  transparent = image.info.get("transparency")
  if image.mode[0] in "IF":
    values = np.asarray(image)
    levels = np.clip(np.rint(values / 257), 0, 255).astype(np.uint8)
    if isinstance(transparent, int):
      levels = np.where(values == transparent, np.uint8(255), levels)
    image = Image.fromarray(levels)
  elif transparent is not None or image.mode[-1] in "aA":
    image = image.convert("RGBA")
    image = Image.alpha_composite(Image.new("RGBA", image.size, "white"), image)
  if image.mode not in (mode, "RGB"):
    image = image.convert("L" if image.mode in ("1", "L") else "RGB")
  image = image.convert(mode)
  return image.transpose(Image.Transpose[method]) if method else image


def _orientation(image):
  """The EXIF orientation; 1, upright, if there is none or it is damaged."""
  try:
    return image.getexif().get(_ORIENTATION, 1)
  except Exception:  # PIL raises nearly anything, and the pixels are good.
    return 1


def _fit(image, height, width):
  """Crops to the aspect ratio of [height, width] and resizes, each only if need be."""
  from PIL import Image

  # Whole pixels: a fraction would blur an image that needs no resizing.
  across = min(image.width, max(1, round(image.height * width / height)))
  down = min(image.height, max(1, round(image.width * height / width)))
  left, top = (image.width - across) // 2, (image.height - down) // 2
  if (across, down) != image.size:
    image = image.crop((left, top, left + across, top + down))
  if image.size != (width, height):
    image = image.resize((width, height), Image.Resampling.LANCZOS, reducing_gap=None)
  return image


@contextlib.contextmanager
def _damage(source):
  """Turns whatever PIL raises for a damaged file into one line."""
  try:
    yield
  except (MemoryError, DataError):
    raise
  except Exception as error:
    reason = " ".join(f"{error}".split())[:200] or type(error).__name__
    raise DataError(
      f"{_name(source)}: not an image that can be read ({reason}): restore or remove it"
    ) from error


def _name(source):
  """The file's name, quoted, so that line ends and bytes that are no text show as such."""
  name = getattr(source, "name", "an image") if hasattr(source, "read") else source
  return repr(os.fsdecode(name))
