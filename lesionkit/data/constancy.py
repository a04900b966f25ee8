"""Colour constancy: an image as it would look under neutral light."""

import math

import numpy as np

ORDER = 6  # of the norm; 1 is grey world, infinity is white patch
DARK = 0.08  # of full brightness: the frame of a dermatoscope, which says nothing of the light


def shades_of_grey(image: np.ndarray) -> np.ndarray:
    """An RGB image (h, w, 3), uint8, with each channel scaled so that the channels' ORDER-norms are equal, their mean kept.

    Finlayson and Trezzi, Shades of Gray and Colour Constancy, CIC 2004; on dermoscopy Barata, Celebi and Marques, IEEE JBHI
    2015. Pixels of a mean below DARK have no say; an image of such pixels alone stays as it is.
    """
    lit = image[image.sum(axis=2, dtype=int) >= DARK * 3 * 255]  # (k, 3)
    if not len(lit):
        return image
    levels = np.arange(256) / 255
    counts = [np.bincount(channel, minlength=256) for channel in lit.T]
    # summed exactly: the order in which vector units sum would differ from machine to machine
    means = [math.fsum(float(n) * float(level) ** ORDER for n, level in zip(of, levels)) / len(lit) for of in counts]
    norms = [max(mean ** (1 / ORDER), 1 / 255) for mean in means]
    scaled = [(255 * (levels * (sum(norms) / 3 / norm)).clip(0, 1)).round().astype(np.uint8) for norm in norms]
    return np.stack([of[image[..., channel]] for channel, of in enumerate(scaled)], axis=2)
