r"""Operator norms of linear layers, bounded from above with a proof.

References:
  [1] Sedghi, Gupta and Long, The Singular Values of Convolutional Layers, 2018, arXiv 1805.10408.
  [2] Rump, Verification of Positive Definiteness, BIT 46, 2006.
  [3] Prach and Lampert, Almost-Orthogonal Layers for Efficient General-Purpose Lipschitz Networks,
    2022, arXiv 2208.03160.
"""

import itertools
import math

import numpy as np
import scipy  # Its modules, which take a second to load, are loaded at their first use.
from jax import lax

from wgan_jax.layers import Conv, Dense, split_phases
from wgan_jax.numerics import scale_of

_MOST_ROWS = 2**13  # 512 MiB, and a minute.
_MOST_CHANNELS = 256
_N_FREQUENCIES = 32  # Along each axis.
_EPS = float(np.finfo(np.float64).eps)


def operator_norm(layer: Dense | Conv, input_shape: tuple[int, ...]) -> float:
  r"""Proves an upper bound of a layer's operator norm \|A\| = max |A x| / |x|.

  A is the layer's linear map without its bias, stride and edges included. The largest eigenvalue of
  its Gram matrix, computed from below, is only a guess \lambda. A Cholesky factor of
  \lambda I - A^T A, rounding included, proves |A|^2 <= \lambda [2]. This bound is tight to 1e-6.

  The Gram matrix costs most, and one of over 8,192 rows is not made. Then, and where it is tight to
  1e-5, the norm on the whole plane is bounded instead, which is above that on an image.

  Args:
    layer: the layer, with concrete parameters of any size.
    input_shape: [in] for a dense layer, [height, width, in] for a convolution.

  Returns:
    The norm; infinity, a trivial bound, of a dense layer with more inputs and outputs than that.

  Raises:
    ValueError: a parameter is not finite, or the layer does not take an input of this shape.
  """
  kernel, bias = (np.asarray(leaf, np.float64) for leaf in (layer.kernel, layer.bias))
  for name, leaf in {"kernel": kernel, "bias": bias}.items():
    if not np.isfinite(leaf).all():
      raise ValueError(f"{np.sum(~np.isfinite(leaf))} of {leaf.size} {name} entries are not finite")
  space = ("height", "width") if isinstance(layer, Conv) else ()
  if len(input_shape) != len(space) + 1 or input_shape[-1] != kernel.shape[-2]:
    expected = ", ".join([*space, str(kernel.shape[-2])])
    raise ValueError(f"expected an input of shape ({expected}), got {input_shape}")
  # A dense layer is a convolution of one position.
  links = _links(layer, input_shape) if space else [(np.zeros(1, int), np.zeros(1, int))]
  taps = kernel.reshape(-1, *kernel.shape[-2:])
  used = [i for i, (reads, _) in enumerate(links) if reads.size]
  taps, links = taps[used], [links[i] for i in used]
  if not taps.any():
    return 0.0
  scale = scale_of(kernel)  # No square may leave float64's range.
  n_reads, n_writes = (1 + max(ends.max() for ends in side) for side in zip(*links, strict=True))
  if n_reads * taps.shape[1] <= n_writes * taps.shape[2]:
    taps, links = taps.transpose(0, 2, 1), [(writes, reads) for reads, writes in links]
    n_writes = n_reads
  bound = _norm_on_plane(kernel / scale, layer.stride) if space else math.inf
  few = n_writes * taps.shape[2] <= _MOST_ROWS
  if few and bound > (1 + 1e-5) * _longest_row(taps / scale, links):
    gram = _gram(taps / scale, links, n_writes)
    bound = math.sqrt(_largest_eigenvalue_bound(gram, taps.shape[0] * taps.shape[1]))
  return math.nextafter(bound * scale, math.inf)


def _links(conv, input_shape):
  """Pairs each tap's input positions with the output positions that they reach."""
  size, window, padding = input_shape[:2], conv.kernel.shape[:2], conv.padding
  if isinstance(padding, str):
    padding = lax.padtype_to_pads(size, window, conv.stride, padding)
  axes, out = [], []
  for n, taps, stride, (low, high) in zip(size, window, conv.stride, padding, strict=True):
    out.append((n + low + high - taps) // stride + 1)
    if out[-1] < 1:
      raise ValueError(f"a {window} kernel with padding {padding} has no place in {size}")
    writes = np.arange(out[-1])
    reads = [stride * writes + tap - low for tap in range(taps)]
    axes.append([(x[(x >= 0) & (x < n)], writes[(x >= 0) & (x < n)]) for x in reads])

  def flat(rows, columns, width):
    return (rows[:, None] * width + columns).ravel()

  return [
    (flat(rows[0], columns[0], size[1]), flat(rows[1], columns[1], out[1]))
    for rows, columns in itertools.product(*axes)
  ]


def _gram(taps, links, n):
  """Computes A A^T, [n out, n out]; A has taps[t] (in x out) from r to w for (r, w) in links[t].

  Only taps that read the same position meet, so A itself, mostly zeros, is never built.
  """
  out = taps.shape[2]
  gram = np.zeros((n, out, n, out))
  for tap, (reads, writes) in zip(taps, links, strict=True):
    for other, (other_reads, other_writes) in zip(taps, links, strict=True):
      _, at, other_at = np.intersect1d(reads, other_reads, assume_unique=True, return_indices=True)
      gram[writes[at], :, other_writes[other_at], :] += tap.T @ other
  return gram.reshape(n * out, n * out)


def _longest_row(taps, links):
  """The largest norm of a row or column of A, which that of A is not below."""
  longest = 0.0
  for side, axis in enumerate((1, 0)):
    squares = np.zeros((1 + max(ends[side].max() for ends in links), taps.shape[2 - axis]))
    for tap, ends in zip(taps, links, strict=True):
      squares[ends[side]] += (tap**2).sum(axis)
    longest = max(longest, math.sqrt(squares.max()))
  return longest


def _norm_on_plane(kernel, stride):
  """Proves a bound of a convolution's operator norm on the whole plane.

  Of an image with zeros around it, which a padding adds to or crops, it is no larger. It is the
  least of three bounds of the square. All see the strided kernel as one of stride 1 on phases.
  """
  padding = [(0, -n % step) for n, step in zip(kernel.shape, stride, strict=False)]
  taps = split_phases(np.pad(kernel, [*padding, (0, 0), (0, 0)]), stride)
  height, width, n_in, n_out = taps.shape
  swapped = taps.transpose(0, 1, 3, 2)
  squares = []
  # A pixel is in as many patches as there are taps.
  for matrix in (taps.reshape(-1, n_out), swapped.reshape(-1, n_in)):
    rows = min(matrix.T, matrix, key=len)
    square = _largest_eigenvalue_bound(rows @ rows.T, rows.shape[1])
    squares.append(height * width * square)
  # Schur's test with positive weights, on which the bound does not rest; that of [3] has its own.
  gram = _gram_on_plane(taps)
  sums = np.abs(gram).sum((0, 1))
  weights = np.abs(scipy.linalg.eigh(sums, subset_by_index=(n_in - 1, n_in - 1))[1][:, 0])
  weights = weights + 1e-9 * weights.max()
  squares.append((sums @ weights / weights).max())
  if min(n_in, n_out) <= _MOST_CHANNELS:
    squares.append(_bound_spectrum(gram if n_in <= n_out else _gram_on_plane(swapped)))
  return math.sqrt(min(squares) * (1 + 8 * _EPS * taps.size))


def _gram_on_plane(taps):
  """Correlations of a kernel's inputs, [2 height - 1, 2 width - 1, in, in]."""
  height, width, n_in, _ = taps.shape
  gram = np.zeros((2 * height - 1, 2 * width - 1, n_in, n_in))
  places = list(itertools.product(range(height), range(width)))
  for (i, j), (k, m) in itertools.product(places, places):
    gram[i - k + height - 1, j - m + width - 1] += taps[i, j] @ taps[k, m].T
  return gram


def _bound_spectrum(gram):
  r"""Bounds the eigenvalues of G(\omega) = \sum_d G_d e^{i <d, \omega>} over all frequencies [1].

  For any v, <v, G(\omega) v> is a trigonometric polynomial, of degree m along an axis. Between n
  equal steps none exceeds its largest value there by more than 1 / cos(\pi m / n) (M. Riesz). For
  an orthogonal convolution all but G_0 is rounding; apart from it the loss is of the rounding only.
  """
  degrees = [n // 2 for n in gram.shape[:2]]
  angles = 2 * math.pi * np.arange(_N_FREQUENCIES) / _N_FREQUENCIES
  waves = [np.exp(1j * np.outer(angles, np.arange(-m, m + 1))) for m in degrees]
  constant = gram[degrees[0], degrees[1]]
  loss = math.prod(math.cos(math.pi * m / _N_FREQUENCIES) for m in degrees)
  bounds = []
  for part in (constant, np.zeros_like(constant)):
    rest = gram.copy()
    rest[degrees[0], degrees[1]] -= part
    largest = 0.0
    for wave in waves[0][: _N_FREQUENCIES // 2 + 1]:  # The others are conjugates of these.
      spectra = np.einsum("fb,bij->fij", waves[1], np.einsum("a,abij->bij", wave, rest))
      largest = max(largest, np.abs(np.linalg.eigvalsh(spectra)).max())
    bounds.append(_largest_eigenvalue_bound(part, 0) * part.any() + largest / loss)
  return min(bounds)


def _largest_eigenvalue_bound(gram, n_terms):
  """Proves a bound of the exact Gram matrix's eigenvalues; its entries are sums of n_terms."""
  n = len(gram)
  if n <= 256:
    guess = scipy.linalg.eigvalsh(gram)[-1]
  else:
    start = np.random.default_rng(0).standard_normal(n)  # The same guess each time.
    (guess,), _ = scipy.sparse.linalg.eigsh(gram, 1, which="LA", v0=start, tol=1e-6)
  guess, margin = max(float(guess), np.trace(gram) / n), 1e-6
  while True:
    bound = guess * (1 + margin)
    shifted = -gram
    shifted[np.diag_indices(n)] += bound
    # The transpose has LAPACK's order of entries, so it is factorised in place.
    _, failed = scipy.linalg.lapack.dpotrf(shifted.T, lower=1, clean=0, overwrite_a=1)
    if not failed:
      # Rounding: below eps n_terms trace in the Gram matrix, below eps (n + 2) trace in its factor.
      return bound * (1 + 4 * _EPS * n * (n + n_terms + 2))
    margin *= 10
