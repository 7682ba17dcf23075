"""Course, row 1: modes are peaks of the data's density; handwritten digits have ten."""

import jax
import jax.numpy as jnp
import numpy as np
import scipy.ndimage
import scipy.stats
from sklearn.decomposition import PCA
from sklearn.manifold import TSNE

from experiments.claims.claim import Claim, Evidence, verdict
from experiments.claims.figures import lines_by_seed, make_panels, picture
from experiments.claims.summary import by_column
from experiments.measures.classes import load_classifier_measures
from experiments.measures.samples import N_MODE_SAMPLES
from wgan_jax.data.images import to_unit
from wgan_jax.modes import class_statistics, mode_statistics, perfect_high_quality, stacked_class

_SIDE = 100  # Cells of the grid along each axis.
_FROM, _TO = 5, 7  # The path leads from the peak of one digit to that of the other.


def _measure(lab, *, seeds, image_set, n_images, iterations):
  dataset = lab.load(image_set)
  found = []
  for seed in range(seeds):
    chosen = np.random.default_rng(seed).permutation(len(dataset.images.train_images))[:n_images]
    pixels = dataset.images.train_images[chosen].reshape(len(chosen), -1) / 255
    labels = dataset.images.train_labels[chosen]
    linear = PCA(min(50, len(chosen)), random_state=seed).fit_transform(pixels)
    flat = TSNE(2, max_iter=iterations, random_state=seed).fit_transform(linear).astype(np.float64)
    found.append(_find_peaks(flat, labels))
  numbers = by_column([peaks for peaks, _ in found]) | _count_toys(lab) | _count_classes(dataset)
  counted = numbers["found"] | numbers["found_classes"]
  table = [{"data": name, "modes found": n} for name, n in counted.items()]
  return Evidence(numbers, table, [_draw(*found[0][1], image_set), _draw_path(numbers)])


def _find_peaks(flat, labels) -> tuple[dict, tuple]:
  """Finds the density's peaks, their classes, and the density on the path between two of them."""
  density = scipy.stats.gaussian_kde(flat.T, 0.15)  # In standard deviations of the map.
  lines = list(np.linspace(flat.min(0), flat.max(0), _SIDE, axis=1))
  grid = np.stack(np.meshgrid(*lines, indexing="ij"), axis=-1)
  values = density(grid.reshape(-1, 2).T).reshape(_SIDE, _SIDE)
  peak = (values == scipy.ndimage.maximum_filter(values, 3)) & (values > 0.05 * values.max())
  places, heights = grid[peak], values[peak]
  nearest = np.argsort(np.linalg.norm(places[:, None] - flat[None], axis=-1), 1)[:, :20]
  counts = np.stack([np.bincount(labels[each], minlength=10) for each in nearest])
  classes, shares = counts.argmax(1), counts.max(1) / counts.sum(1)
  best = {}
  for c in np.unique(classes[shares > 0.5]).tolist():
    best[c] = int(np.where((shares > 0.5) & (classes == c), heights, -1).argmax())
  path = []
  if {_FROM, _TO} <= best.keys():
    a, b = places[best[_FROM]], places[best[_TO]]
    path = density((a + np.linspace(0, 1, 101)[:, None] * (b - a)).T).tolist()
  numbers = {
    "peaks": len(heights),
    "classes_with_a_peak": sorted(best),
    "share_of_class": [float(shares[i]) for i in best.values()],
    "path": path,
  }
  return numbers, (lines, values, {c: places[i] for c, i in best.items()})


def _count_toys(lab):
  """Counts the modes in samples of the toy data themselves."""
  counts = {"known": {}, "found": {}, "high_quality": {}}
  for key, name in enumerate(("ring", "grid")):
    toy = lab.load(name).toy
    samples = toy.sample_real(jax.random.key(key), toy.data, N_MODE_SAMPLES)
    own = mode_statistics(samples, *toy.modes)
    counts["known"][name], counts["found"][name] = len(toy.modes.centres), int(own.n_modes)
    counts["high_quality"][name] = float(own.high_quality)
  return counts | {"perfect": float(perfect_high_quality())}


def _count_classes(dataset):
  """Counts the classes that a classifier finds in held-out images, single and stacked."""
  judge = load_classifier_measures(dataset)
  classes = judge.inspect(np.asarray(to_unit(dataset.images.test_images)))["classes"]
  found = {dataset.name: int(class_statistics(jnp.array(classes), jnp.ones(10)).n_classes)}
  chosen = np.random.default_rng(0).integers(len(classes), size=(26_000, 3))
  stacked = class_statistics(stacked_class(jnp.array(classes)[chosen]), jnp.ones(1000))
  found[f"stacked {dataset.name}"] = int(stacked.n_classes)
  accuracy = float((classes == dataset.images.test_labels).mean())
  return {"found_classes": found, "test_accuracy": accuracy, "stacked_kl": float(stacked.kl)}


def _criterion(numbers):
  falls = [min(path) / min(path[0], path[-1]) if path else float("nan") for path in numbers["path"]]
  n_classes = [len(each) for each in numbers["classes_with_a_peak"]]
  images, stacked = numbers["found_classes"].values()
  peaks = all(n == 10 for n in n_classes) and all(fall < 0.5 for fall in falls)
  whole = numbers["found"] == numbers["known"] and (images, stacked) == (10, 1000)
  perfect = all(abs(q - numbers["perfect"]) < 0.01 for q in numbers["high_quality"].values())
  return verdict(
    peaks and whole and perfect,
    f"{min(n_classes)} of ten classes have a peak of the density, of {numbers['peaks'][0]} peaks in"
    f" all; from {_FROM} to {_TO} it falls to {max(falls):.2f} of the lower peak. Known modes"
    f" found: {numbers['found']['ring']} of 8 with {numbers['high_quality']['ring']:.3f} within 3"
    f" sigma, {numbers['found']['grid']} of 25; a classifier finds {images} classes, and {stacked}"
    " of 1,000 stacked ones.",
  )


def _draw(lines, values, peaks, image_set):
  figure, axes = make_panels(size=(6, 5))
  shown = axes.contourf(*lines, values.T, 20, cmap="Blues")
  for c, place in peaks.items():
    box = {"boxstyle": "circle", "fc": "white", "ec": "none", "alpha": 0.7}
    axes.annotate(str(c), place, ha="center", va="center", fontsize=10, bbox=box)
  if {_FROM, _TO} <= peaks.keys():
    ends = zip(peaks[_FROM], peaks[_TO], strict=True)
    axes.plot(*ends, "--", color="tab:red", lw=1, label=f"path from {_FROM} to {_TO}")
  axes.set(xlabel="first coordinate of the map", ylabel="second coordinate", aspect="equal")
  figure.colorbar(shown, ax=axes, label="density, per unit of area of the map")
  caption = f"{image_set}: t-SNE's map, seed 0; a digit stands on the highest peak mostly its own."
  return picture(figure, caption)


def _draw_path(numbers):
  figure, axes = make_panels(size=(5.6, 3.2))
  lines_by_seed(axes, np.linspace(0, 1, 101), [path or [np.nan] * 101 for path in numbers["path"]])
  axes.set(xlabel="share of the way", ylabel="density of the map", ylim=(0, None))
  caption = f"Density from a {_FROM} to a {_TO}; {len(numbers['path'])} seeds, a curve each."
  return picture(figure, caption)


CLAIM = Claim(
  _measure, _criterion, name="modes", place=1, source="Course, row 1",
  sentence="A mode is a peak of the density; digits have ten, and between a 5 and a 7 it is low.",
  settings="Digits, 50 principal components, t-SNE without the labels, a Gaussian kernel density of"
  " bandwidth 0.15. The density is the map's: t-SNE distorts distances. Ring and grid: 2,500 real"
  " samples. Classes: of held-out images, and of 26,000 draws of three.",
  criterion_text="In every seed each class has a peak of the density (at least 5 % of the highest)"
  " most of whose 20 nearest images are of it; from 5 to 7 the density falls below half of the"
  " lower peak. All 8 and 25 known modes are found, within 3 sigma as by a perfect sampler to 0.01;"
  " a classifier finds all 10 and 1,000 classes.",
  quick=dict(seeds=1, image_set="digits", n_images=1500, iterations=500),
  full=dict(seeds=3, image_set="mnist", n_images=10_000, iterations=1000),
  tiny=dict(n_images=100, iterations=250), minutes=dict(quick=0.7, full=5.0),
)  # fmt: skip
