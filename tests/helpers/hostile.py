"""Hostile content for readers: files that are cut, flipped or lie, JSON that is valid and wrong.

The same `random.Random(seed)` gives the same content.
"""

import io
import json
import random
import struct
import zipfile
from collections.abc import Iterator

import numpy as np


def cut(content: bytes, length: int) -> bytes:
  """The first bytes."""
  return content[:length]


def flip(content: bytes, bit: int) -> bytes:
  """One bit changed."""
  changed = bytearray(content)
  changed[bit // 8] ^= 1 << bit % 8
  return bytes(changed)


def damages(content: bytes, rng: random.Random, n: int) -> Iterator[tuple[str, bytes]]:
  """`n` cuts and `n` flipped bits, each with its name; every cut, if there are no more."""
  lengths = range(len(content))
  for length in lengths if len(lengths) <= n else sorted(rng.sample(lengths, n)):
    yield f"cut to {length} bytes", cut(content, length)
  for _ in range(n if content else 0):
    bit = rng.randrange(8 * len(content))
    yield f"bit {bit} flipped", flip(content, bit)


def archive(entries: dict[str, bytes], compression: int = zipfile.ZIP_DEFLATED) -> bytes:
  """A zip file, of bytes or anything else."""
  buffer = io.BytesIO()
  with zipfile.ZipFile(buffer, "w", compression) as file:
    for name, content in entries.items():
      file.writestr(name, content)
  return buffer.getvalue()


def npy(array: np.ndarray) -> bytes:
  """An array as numpy writes it, with pickles if need be."""
  buffer = io.BytesIO()
  np.save(buffer, array, allow_pickle=True)
  return buffer.getvalue()


def header(text: str) -> bytes:
  """The start of an .npy with any words as its header."""
  words = text.encode() + b"\n"
  return b"\x93NUMPY\x01\x00" + struct.pack("<H", len(words)) + words


def _set_in_zip(content: bytes, offset: int, value: int) -> bytes:
  """Writes a number in both headers of a zip's first entry."""
  changed = bytearray(content)
  central = content.rindex(b"PK\x01\x02")
  for place in (offset, central + offset + 2):
    changed[place : place + 2] = struct.pack("<H", value)
  return bytes(changed)


def sample_files(good: np.ndarray, rng: random.Random) -> Iterator[tuple[str, bytes]]:
  """Hostile files of samples without end, each with its name."""
  inner = npy(good)
  whole, stored = (archive({"images.npy": inner}, how) for how in (zipfile.ZIP_DEFLATED, 0))
  huge = [(10**12, 28, 28, 1), (2**62, 28, 28, 1), (-1, 28, 28, 1), (2**31, 2**31, 1), ("a",)]
  words = ["<f4", "|O", "<f8", "|u1", "<c8", "<U5", "<M8[s]", "|V4", ">f4", "zzz", "<f2"]

  def inside(content, name="images.npy"):
    return archive({name: content}, rng.choice([0, zipfile.ZIP_DEFLATED]))

  def told(shape, descr="<f4", order=False):
    text = f"{{'descr': {descr!r}, 'fortran_order': {order!r}, 'shape': {shape!r}, }}"
    return inside(header(text) + inner[128 : rng.choice([128, 200, None])])

  def valued(value):
    array = good.astype(np.float32)
    array.flat[rng.randrange(array.size)] = value
    return inside(npy(array))

  kinds = {
    "empty": lambda: b"",
    "cut": lambda: cut(rng.choice([whole, stored]), rng.randrange(len(whole))),
    "a bit flipped": lambda: flip(whole, rng.randrange(8 * len(whole))),
    "a bit flipped, stored": lambda: flip(stored, rng.randrange(8 * len(stored))),
    "said to be encrypted": lambda: _set_in_zip(rng.choice([whole, stored]), 6, 1),
    "flags": lambda: _set_in_zip(whole, 6, rng.randrange(2**16)),
    "another compression": lambda: _set_in_zip(whole, 8, rng.choice([1, 6, 9, 12, 14, 93, 99])),
    "bzip2": lambda: archive({"images.npy": cut(inner, rng.randrange(len(inner)))}, 12),
    "lzma": lambda: flip(archive({"images.npy": inner}, 14), 8 * rng.randrange(60, 200)),
    "a huge shape": lambda: told(rng.choice(huge)),
    "another type": lambda: told(good.shape, rng.choice(words)),
    "an order that is none": lambda: told(good.shape, order=rng.choice([7, "C", None])),
    "a header cut": lambda: inside(cut(inner, rng.randrange(128))),
    "a header's bit": lambda: inside(flip(inner, rng.randrange(8 * 128))),
    "nested header": lambda: inside(header("[" * rng.randrange(1, 3000))),
    "no array": lambda: inside(rng.randbytes(rng.randrange(300))),
    "objects": lambda: inside(npy(np.array([{"a": 1}, None] * 4, dtype=object))),
    "another name": lambda: inside(inner, rng.choice(["image.npy", "images", " ", "/etc/passwd"])),
    "no entries": lambda: archive({}),
    "an .npy": lambda: inner,
    "a pickle": lambda: b"\x80\x04\x95" + rng.randbytes(rng.randrange(100)),
    "text": lambda: rng.choice(["images", "ü" * 50, "1,2,3\n" * 9]).encode(),
    "noise": lambda: rng.randbytes(rng.randrange(1000)),
    "the start of a zip": lambda: b"PK\x03\x04" + rng.randbytes(rng.randrange(200)),
    "another shape": lambda: inside(npy(good[..., : rng.randrange(2), None])),
    "few": lambda: inside(npy(good[: rng.randrange(4)])),
    "no dimension": lambda: inside(npy(np.float32(1))),
    "complex": lambda: inside(npy(good.astype(np.complex64))),
    "booleans": lambda: inside(npy(good > 0)),
    "integers": lambda: inside(npy(good.astype(rng.choice([np.int32, np.int64, np.uint16])))),
    "no number": lambda: valued(rng.choice([np.nan, np.inf, -np.inf])),
    "a large number": lambda: valued(rng.choice([1e38, -1e38, 3e38])),
  }
  while True:
    for name, make in kinds.items():
      yield name, make()


_VALUES = [
  None, True, False, 0, -1, 1, 1.5, -0.0, 1e19, 1e308, 2**63, 10**4000, float("nan"),
  float("inf"), "", "a", "NaN", "-Infinity", "../../etc/passwd", "/etc/passwd", "\ud800", "\0",
  "x" * 10_000, [], {}, [[]], [None], {"": None}, [1, "a"], {"a": {"b": {}}},
]  # fmt: skip


def _places(value, path=()):
  yield path
  if isinstance(value, dict | list):
    for key in value if isinstance(value, dict) else range(len(value)):
      yield from _places(value[key], (*path, key))


def mutated(value: object, rng: random.Random) -> object:
  """A JSON value with one place changed, removed or renamed."""
  value = json.loads(json.dumps(value))
  path = rng.choice(list(_places(value)))
  if not path:
    return rng.choice(_VALUES)
  *path, last = path
  there = value
  for key in path:
    there = there[key]
  how = rng.randrange(4)
  if how == 0:
    del there[last]
  elif how == 1 and isinstance(there, dict):
    there[rng.choice(["", "other", "step", str(last).upper()])] = there.pop(last)
  else:
    there[last] = rng.choice(_VALUES)
  return value


def hostile_json(content: bytes, rng: random.Random) -> tuple[str, bytes]:
  """One hostile form of a file of JSON, or of JSON lines, with its name."""
  lines = content.splitlines(keepends=True) if content.count(b"\n{") else [content]
  which = rng.randrange(len(lines))
  text = lines[which]

  def changed():
    value = mutated(json.loads(text), rng)
    for _ in range(rng.randrange(3)):
      value = mutated(value, rng)
    return json.dumps(value).encode() + b"\n"

  def put(token):
    place = rng.choice([i for i, byte in enumerate(text) if byte in b':,[{"'])
    return text[: place + 1] + token + text[place + 1 :]

  kinds = {
    "values": changed,
    "values again": changed,
    "values once more": changed,
    "a token put in": lambda: put(rng.choice([b"NaN", b"1" * 5000, b"\xff", b"\x00", b"[" * 3000])),
    "no UTF-8": lambda: put(rng.choice([b"\xff\xfe", b"\xc3", b"\xed\xa0\x80"])),
    "nested": lambda: b"[" * 2000 + b"]" * 2000 + b"\n",
    "nested objects": lambda: b'{"a":' * 2000 + b"1" + b"}" * 2000 + b"\n",
    "doubled": lambda: text + text,
    "a key twice": lambda: text.replace(b"{", b'{"step": "a", "settings": 1, "step": 2, ', 1),
    "UTF-16": lambda: text.decode().encode("utf-16"),
    "a mark": lambda: b"\xef\xbb\xbf" + text,
    "empty": lambda: rng.choice([b"", b"\n", b"{}\n", b"[]\n", b"null\n", b"\n\n\n"]),
  }
  name = rng.choice(list(kinds))
  lines[which] = kinds[name]()
  return name, b"".join(lines)
