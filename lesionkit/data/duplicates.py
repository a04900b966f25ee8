"""Near-duplicates: the same lesion photographed once or twice, filed under two ids.

A fingerprint screens all pairs; the correlation of fine detail, after alignment, confirms. Dermoscopic
images all show a dark blob in the middle, so luminance proves nothing: that of random pairs of lesions in
HAM10000 correlates up to 0.97. Both steps look at detail instead: luminance, high-passed and divided by its
local contrast, where blobs vanish and texture stays.

The evidence for the thresholds, from the 84 px images of HAM10000 and ISIC 2019 and side-by-side sheets of
the best pairs:
- SIMILARITY. A plain perceptual hash at <= 10 bits flags 17,627 pairs of HAM10000, and misses 8 of the 12
  that are confirmed across lesions (12 to 24 bits: shifted, zoomed). The fingerprint flags 16,775 (and
  36,581 zoomed) and keeps all 12, the least similar at 0.153.
- CORRELATION. The 12 lie at 0.478 to 0.885 and show the same lesion, the same hairs and freckles around it.
  No pair that looks different passes 0.388 inside HAM10000, nor 0.405 between it and the rest of ISIC 2019
  (77.8 million pairs, none confirmed). A few pairs at 0.38 to 0.40 look alike too, but stand among others
  that do not: they are not confirmed. 372 pairs of one lesion are confirmed beside the 12.
- Planted copies of 400 images are found: JPEG quality 50, brightness +- 20 %, a shift of 2 or 8 px, half
  the resolution, a half turn, a zoom of 8 %: all; zoom, turn, shift and JPEG together: 0.99; a turn of 4
  degrees: 0.92; JPEG quality 20: 0.83.
- Half turns are tried because pairs of one lesion show them (8 of 253, the others upright); mirror images
  and quarter turns, because none does, are not.
"""

from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from itertools import product

import numpy as np
import pandas as pd
from scipy import fft, ndimage
from threadpoolctl import threadpool_limits

from lesionkit.data.store import Rows

Images = np.ndarray | Rows
SIMILARITY = 0.145  # of fingerprints, -1..1: pairs above it become candidates
CORRELATION = 0.44  # of aligned detail, 0..1: candidates above it are confirmed
_PROMISING = 0.25  # of detail aligned by a shift: candidates above it are aligned in scale and angle too
_SIDE = 64  # px, the resolution at which images are compared
_ZOOM = 1.08  # of either image, at which pairs are screened again
_SCALES, _ANGLES = (0.87, 0.91, 0.955, 1.0, 1.045, 1.09, 1.14), (-4.0, 0.0, 4.0)  # degrees
_REACH = 16  # px, the largest shift
_BLOCK = 128  # images or pairs at a time: memory stays bounded
_LUMINANCE = np.array([0.299, 0.587, 0.114], np.float32)  # ITU-R BT.601


def near_duplicates(
    images: Images, ids: Sequence[str], other: Images | None = None, other_ids: Sequence[str] | None = None
) -> pd.DataFrame:
    """Pairs of images that show one lesion in nearly one framing: up to compression, colour, a shift, a
    small zoom or turn, a half turn.

    `images` and `other`: uint8 (n, s, s, 3), squashed or cropped to squares (black bars would look alike).
    Without `other`, pairs within `images`; with it, pairs across. Returns image_a, image_b, correlation
    (above CORRELATION, at most 1) and, for comparison, hamming: the bits of 63 by which their plain
    perceptual hashes differ; the surest pair first. Blank images are no pairs. Images are asked for a block at a
    time, so that rows of a store (`Pixels.of`) need no memory.
    """
    against, against_ids = (images, ids) if other is None else (other, other_ids)
    plain, zoomed = _describe(images, 1.0), _describe(images, _ZOOM)
    if other is None:
        comparisons = [(plain, plain), (plain, zoomed)]
    else:
        other_plain = _describe(other, 1.0)
        comparisons = [(plain, other_plain), (zoomed, other_plain), (plain, _describe(other, _ZOOM))]
    pairs = pd.concat(
        [_align(_screen(one[1], two[1], within=other is None), one[0], two[0]) for one, two in comparisons]
    )
    if other is None:  # each pair once
        pairs[["a", "b"]] = np.sort(pairs[["a", "b"]], axis=1)
    pairs = pairs.groupby(["a", "b"], as_index=False)["correlation"].max()
    pairs["correlation"] = _refine(pairs, images, against)
    pairs = pairs[pairs["correlation"] > CORRELATION]
    a, b = pairs["a"].to_numpy(), pairs["b"].to_numpy()
    differs = _hash(_luminance(images[a])) != _hash(_luminance(against[b]))
    table = pd.DataFrame(
        {
            "image_a": np.asarray(ids, object)[a],
            "image_b": np.asarray(against_ids, object)[b],
            "hamming": differs.sum(1),
            "correlation": pairs["correlation"].to_numpy(),
        }
    )
    return table.sort_values(["correlation", "image_a", "image_b"], ascending=[False, True, True], ignore_index=True)


def _describe(images: np.ndarray, zoom: float) -> tuple[np.ndarray, np.ndarray]:
    """Detail (n, 64, 64), float16 to save memory, and fingerprints (n, 1042) of images (n, s, s, 3)."""

    def describe(rows: slice) -> tuple[np.ndarray, np.ndarray]:
        detail = _detail(_luminance(images[rows], zoom))
        return detail.astype(np.float16), _fingerprint(detail)

    return tuple(np.concatenate(parts) for parts in zip(*_in_blocks(describe, len(images))))


def _luminance(images: np.ndarray, zoom: float = 1.0) -> np.ndarray:
    """Luminance (n, 64, 64) of images (n, s, s, 3), zoomed about the centre (>= 1), by averaging areas."""
    side = images.shape[1]
    edges = side / 2 + np.linspace(-side / 2, side / 2, _SIDE + 1) / zoom
    pixel = np.arange(side)
    overlap = np.minimum(edges[1:, None], pixel + 1) - np.maximum(edges[:-1, None], pixel)
    area = (overlap.clip(0) * zoom * _SIDE / side).astype(np.float32)  # (64, s), rows sum to 1
    return area @ (images @ _LUMINANCE) @ area.T


def _detail(luminance: np.ndarray) -> np.ndarray:
    """What a blur takes away, in units of its own local contrast, faded out at the rim, of zero mean and
    unit norm.

    The inner product of two is then their correlation. The local window is small (2.5 px) so that a
    lesion's edge, which all lesions have, weighs no more than any texture; black frames count for nothing.
    """
    high = luminance - ndimage.gaussian_filter(luminance, (0, 1.2, 1.2))
    noise = 0.3  # of compression, in grey levels squared
    contrast = np.sqrt(ndimage.gaussian_filter(high * high, (0, 2.5, 2.5)) + noise)
    seen = ndimage.minimum_filter(luminance, (1, 7, 7)) >= 8  # grey levels
    rim = np.minimum(1, 4 * np.hanning(_SIDE + 2)[1:-1]).astype(np.float32)
    detail = np.where(seen, high / contrast, 0) * rim[:, None] * rim
    detail -= detail.mean((1, 2), keepdims=True)
    return detail / np.maximum(np.linalg.norm(detail, axis=(1, 2), keepdims=True), 1e-6)


def _fingerprint(detail: np.ndarray) -> np.ndarray:
    """The speckle of the amplitude spectrum, that no shift or half turn changes: unit vectors (n, 1042)."""
    amplitude = np.abs(fft.fftshift(fft.fft2(detail), (1, 2)))
    speckle = amplitude - ndimage.uniform_filter(amplitude, (1, 9, 9), mode="wrap")
    y, x = np.mgrid[:_SIDE, :_SIDE] - _SIDE // 2  # cycles a frame
    half = (x > 0) | ((x == 0) & (y > 0))  # the other half mirrors it
    band = half & (np.hypot(y, x) >= 3) & (np.hypot(y, x) < 26)
    speckle = speckle[:, band]
    speckle -= speckle.mean(1, keepdims=True)
    return speckle / np.maximum(np.linalg.norm(speckle, axis=1, keepdims=True), 1e-6)


def _screen(one: np.ndarray, two: np.ndarray, within: bool) -> pd.DataFrame:
    """Candidates a, b: the rows of pairs of fingerprints whose inner product exceeds SIMILARITY.

    `within` one set, no image is paired with itself.
    """
    found = [np.empty((0, 2), np.int64)]
    for rows in _blocks(len(one)):
        first = rows.start if one is two else 0  # the rest is symmetric
        a, b = np.nonzero(one[rows] @ two[first:].T > SIMILARITY)
        found.append(np.stack([a + rows.start, b + first], axis=1))
    pairs = pd.DataFrame(np.concatenate(found), columns=["a", "b"])
    if one is two:
        return pairs[pairs["a"] < pairs["b"]]
    return pairs[pairs["a"] != pairs["b"]] if within else pairs


def _align(pairs: pd.DataFrame, one: np.ndarray, two: np.ndarray) -> pd.DataFrame:
    """The pairs whose detail correlates by more than _PROMISING after a shift, with that correlation."""
    a, b = pairs["a"].to_numpy(), pairs["b"].to_numpy()
    parts = _in_blocks(lambda rows: _peak(one[a[rows]], two[b[rows]]), len(pairs))
    pairs = pairs.assign(correlation=np.concatenate([np.empty(0), *parts]))
    return pairs[pairs["correlation"] > _PROMISING]


def _refine(pairs: pd.DataFrame, images: np.ndarray, other: np.ndarray) -> np.ndarray:
    """The correlation of pairs, of the doubtful ones the highest over scales and angles as well."""
    best = pairs["correlation"].to_numpy(copy=True)
    doubtful = np.flatnonzero(best <= CORRELATION)
    a, b = pairs["a"].to_numpy()[doubtful], pairs["b"].to_numpy()[doubtful]

    def align(rows: slice) -> np.ndarray:
        one, two = _detail(_luminance(images[a[rows]])), _luminance(other[b[rows]])
        warps = (_warp(two, scale, angle) for scale, angle in product(_SCALES, _ANGLES))
        return np.max([_peak(one, _detail(warp)) for warp in warps], axis=0)

    aligned = np.concatenate([np.empty(0), *_in_blocks(align, len(doubtful))])
    best[doubtful] = np.maximum(best[doubtful], aligned)
    return best


def _peak(one: np.ndarray, two: np.ndarray) -> np.ndarray:
    """The highest correlation (n,) of details (n, 64, 64) over shifts up to _REACH px, also half turned."""
    one, two = fft.rfft2(one.astype(np.float32)), fft.rfft2(two.astype(np.float32))
    near = np.r_[0 : _REACH + 1, -_REACH:0]
    both = (two.conj(), two)  # a half turn conjugates a spectrum
    surfaces = [fft.irfft2(one * spectrum)[:, near[:, None], near] for spectrum in both]
    return np.max(surfaces, axis=(0, 2, 3)).clip(-1, 1)


def _warp(luminance: np.ndarray, scale: float, angle: float) -> np.ndarray:
    """Images zoomed by `scale` and turned by `angle` degrees about their centres."""
    turn = np.deg2rad(angle)
    matrix = np.array([[np.cos(turn), -np.sin(turn)], [np.sin(turn), np.cos(turn)]]) / scale
    centre = np.full(2, (_SIDE - 1) / 2)
    offset = centre - matrix @ centre
    return np.stack([ndimage.affine_transform(image, matrix, offset, order=1, mode="nearest") for image in luminance])


def _hash(luminance: np.ndarray) -> np.ndarray:
    """The usual perceptual hash (n, 63), bool: the 8 x 8 lowest DCT coefficients but one, over the median."""
    low = fft.dctn(luminance, axes=(1, 2))[:, :8, :8].reshape(len(luminance), 64)[:, 1:]
    return low > np.median(low, axis=1, keepdims=True)


def _blocks(count: int) -> Iterator[slice]:
    return (slice(start, min(start + _BLOCK, count)) for start in range(0, count, _BLOCK))


def _in_blocks(function: Callable[[slice], np.ndarray], count: int) -> list:
    # Threads: numpy and scipy work without the GIL. One each: BLAS would start as many again in every one of them.
    with threadpool_limits(1, user_api="blas"), ThreadPoolExecutor() as pool:
        return list(pool.map(function, _blocks(count)))
