"""Features of a user's own: distances by hand, and every file that is refused."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax import export

from experiments.host.errors import UserError
from experiments.report.features import load_features, measure_features
from experiments.spec.datasets import load_dataset, of_images
from wgan_jax.data.images import Images, to_unit
from wgan_jax.frechet import frechet_distance, precision_recall

RNG = np.random.default_rng(0)
SHAPE = (4, 6, 1)
PIXELS = RNG.integers(0, 256, (70, *SHAPE), np.uint8)
LABELS = np.zeros(70, int)
DIGITS = of_images(Images("digits", PIXELS[:40], LABELS[:40], PIXELS[40:], LABELS[40:]))
WEIGHTS = RNG.normal(size=(24, 5)).astype(np.float32)
COLUMNS = {
  name: np.asarray(to_unit(RNG.integers(0, 256, (n, *SHAPE), np.uint8)))
  for name, n in (("averaged", 11), ("last update", 9), ("training data", 10))
}
HELD_OUT = np.asarray(to_unit(PIXELS[40:]))


def linear(images):
  return images.astype(jnp.float32).reshape(images.shape[0], -1) @ WEIGHTS


def first_row(images):
  """Features of images of any size."""
  return images[:, 0, :1, 0]


def write(path, function=linear, shape=("b", *SHAPE), dtype=jnp.float32, **options):
  """A file with a function of images; a word in the shape is a symbol."""
  symbols = export.symbolic_shape(",".join(map(str, shape)))
  images = jax.ShapeDtypeStruct(symbols, dtype)
  path.write_bytes(export.export(jax.jit(function), **options)(images).serialize())
  return path


def by_hand(features_of, held_out, training, digest):
  """The rows of each column, from the features of all."""
  rows = {}
  for name, features in features_of.items():
    frechet = frechet_distance(features, held_out)
    train = frechet if training is None else frechet_distance(features, training)
    manifolds = precision_recall(held_out, features)
    rows[name] = {"frechet": frechet, "frechet_train": train, **manifolds._asdict()}
  return {
    name: {f"{row}_{digest}": pytest.approx(value, rel=1e-5) for row, value in each.items()}
    for name, each in rows.items()
  }


@pytest.mark.parametrize("batch", ["b", 7, 1, 64])
@pytest.mark.parametrize("dtype", [jnp.float32, jnp.uint8])
def test_rows_are_those_computed_by_hand(tmp_path, batch, dtype):
  """However many images the function takes at once, and in either form."""
  path = write(tmp_path / "own.bin", shape=(batch, *SHAPE), dtype=dtype)
  file = load_features(path, DIGITS)
  measured = measure_features(file, COLUMNS, HELD_OUT)

  def by_numpy(images):
    pixels = np.rint((images + 1) * 127.5) if dtype == jnp.uint8 else images
    return pixels.reshape(len(images), -1).astype(float) @ WEIGHTS

  features_of = {name: by_numpy(images) for name, images in COLUMNS.items()}
  held_out, digest = by_numpy(HELD_OUT), file.sha256[:8]
  training = features_of["training data"]
  expected = by_hand(features_of, held_out, training, digest)
  expected["training data"][f"frechet_train_{digest}"] = pytest.approx(
    frechet_distance(training, held_out), rel=1e-5
  )
  assert measured == expected
  assert file.n_features == 5
  assert set(file.titles()) == set(measured["averaged"])
  assert all(f"own.bin (sha256 {digest})" in title for title in file.titles().values())


def test_features_of_a_file_are_measured_as_they_are(tmp_path):
  arrays = {name: RNG.normal(size=(n, 3)) for name, n in (("samples", 9), ("data", 8))}
  training = RNG.normal(size=(7, 3)).astype(np.float32)
  np.savez(tmp_path / "a.npz", **arrays)
  np.savez_compressed(tmp_path / "b.npz", **arrays, training=training)
  for name in ("a", "b"):
    file = load_features(tmp_path / f"{name}.npz", DIGITS)
    measured = measure_features(file, COLUMNS, HELD_OUT)
    features_of = {"averaged": arrays["samples"], "training data": training}
    expected = by_hand(features_of, arrays["data"], training, file.sha256[:8])
    floor = expected["training data"]
    floor[f"frechet_train_{file.sha256[:8]}"] = floor[f"frechet_{file.sha256[:8]}"]
    if name == "a":
      del expected["training data"]
      del expected["averaged"][f"frechet_train_{file.sha256[:8]}"]
    assert measured == expected
    counts = {"samples": 9, "data": 8} | ({"training": 7} if name == "b" else {})
    assert file.describe()["counts"] == counts


OTHER = next(each for each in ("tpu", "cuda") if each != export.default_export_platform())
FUNCTIONS = {
  "platform": ({"platforms": [OTHER]}, f"was exported for {OTHER}, and this is"),
  "shape": (
    {"shape": ("b", 4, 4, 1), "function": first_row},
    "takes float32[b,4,4,1]: export it for",
  ),
  "rank": ({"shape": ("b", 24)}, "takes float32[b,24]: export"),
  "symbols": ({"shape": ("b", 4, "w", 1), "function": first_row}, "takes float32[b,4,w,1]: export"),
  "type": ({"dtype": jnp.int32}, "takes int32[b,4,6,1]: export"),
  "scalar": ({"function": lambda x: x.astype(jnp.float32).sum()}, "gives float32[] of"),
  "means": ({"function": lambda x: linear(x).mean(0, keepdims=True)}, "gives float32[1,5] of"),
  "images": ({"function": lambda x: x}, "gives float32[b,4,6,1] of"),
  "twice": ({"function": lambda x: jnp.tile(linear(x), (2, 1))}, "gives float32[2*b,5] of"),
  "integers": ({"function": lambda x: linear(x).astype(jnp.int32)}, "gives int32[b,5] of"),
  "none": ({"function": lambda x: linear(x)[:, :0]}, "gives float32[b,0] of"),
  "two": ({"function": lambda x: (linear(x), x)}, "inputs or outputs are not one array each"),
  "dictionary": ({"function": lambda x: {"a": linear(x)}}, "inputs or outputs are not one array"),
  "eighths": ({"shape": ("3*b", *SHAPE)}, "cannot be computed here"),
}


@pytest.mark.parametrize("name", FUNCTIONS)
def test_a_function_that_does_not_fit_is_one_line(tmp_path, name):
  options, words = FUNCTIONS[name]
  path = write(tmp_path / "own.bin", **options)
  with pytest.raises(UserError) as refusal:
    load_features(path, DIGITS)
  assert str(refusal.value).startswith(f"--features={path}")
  assert words in str(refusal.value)
  assert "\n" not in str(refusal.value)


def test_two_inputs_are_refused(tmp_path):
  images = jax.ShapeDtypeStruct((4, *SHAPE), jnp.float32)
  function = export.export(jax.jit(lambda x, y: linear(x) + linear(y)))(images, images)
  (tmp_path / "own.bin").write_bytes(function.serialize())
  with pytest.raises(UserError, match="inputs or outputs are not one array each"):
    load_features(tmp_path / "own.bin", DIGITS)


def test_features_that_are_not_finite_are_refused_by_whose_they_are(tmp_path):
  path = write(tmp_path / "own.bin", lambda x: jnp.log(linear(x)))
  file = load_features(path, DIGITS)
  with pytest.raises(UserError, match=r"own\.bin: the features of the averaged hold NaN"):
    measure_features(file, COLUMNS, HELD_OUT)


def test_a_damaged_function_is_one_line(tmp_path):
  content = write(tmp_path / "own.bin").read_bytes()
  path = tmp_path / "damaged.bin"
  cases = [b"", b"text", bytes(2000), *(content[: len(content) * i // 7] for i in range(1, 7))]
  for case in cases:
    path.write_bytes(case)
    with pytest.raises(UserError, match=r"--features=.*damaged\.bin is damaged, or no function"):
      load_features(path, DIGITS)
  with pytest.raises(UserError, match="cannot be read"):
    load_features(tmp_path / "nowhere.bin", DIGITS)


GOOD = np.ones((5, 3))
ARRAYS = {
  "missing": ({"samples": GOOD}, "holds no array 'data', but samples"),
  "rank": ({"samples": GOOD[0], "data": GOOD}, r"samples are float64 \(3,\): give floats"),
  "type": ({"samples": GOOD, "data": GOOD.astype(int)}, r"data are int64 \(5, 3\): give floats"),
  "few": ({"samples": GOOD[:3], "data": GOOD}, r"samples are \(3, 3\): give at least 4 rows"),
  "none": ({"samples": GOOD[:, :0], "data": GOOD}, r"samples are \(5, 0\): give at least"),
  "features": ({"samples": GOOD[:, :2], "data": GOOD}, "samples have 2 features, data 3"),
  "training": ({"samples": GOOD, "data": GOOD, "training": GOOD[:, :2]}, "training have 2"),
  "nan": ({"samples": GOOD, "data": GOOD * np.nan}, "data hold NaN or infinity"),
}


@pytest.mark.parametrize("name", ARRAYS)
def test_features_that_do_not_fit_are_one_line(tmp_path, name):
  arrays, words = ARRAYS[name]
  np.savez(tmp_path / "a.npz", **arrays)
  with pytest.raises(UserError, match=rf"--features=.*a\.npz.*{words}"):
    load_features(tmp_path / "a.npz", DIGITS)


def test_features_too_large_to_be_squared_are_one_line(tmp_path):
  np.savez(tmp_path / "a.npz", samples=RNG.normal(size=(5, 3)) * 1e307, data=GOOD)
  with pytest.raises(UserError, match=r"--features=a\.npz: samples: .* too large to be squared"):
    measure_features(load_features(tmp_path / "a.npz", DIGITS), COLUMNS, HELD_OUT)


def test_points_have_no_features_of_their_own(tmp_path):
  with pytest.raises(UserError, match="--features does nothing with ring"):
    load_features(tmp_path / "a.npz", load_dataset("ring"))
