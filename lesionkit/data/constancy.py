"""Colour constancy: an image as it would look under neutral light."""

import numpy as np

ORDER = 6  # of the norm; 1 is grey world, infinity is white patch
DARK = 0.08  # of full brightness: the frame of a dermatoscope, which says nothing of the light


def shades_of_grey(image: np.ndarray) -> np.ndarray:
    """An RGB image (h, w, 3), uint8, with each channel scaled so that the channels' ORDER-norms are equal, their mean kept.

    Finlayson and Trezzi, Shades of Gray and Colour Constancy, CIC 2004; on dermoscopy Barata, Celebi and Marques, IEEE JBHI
    2015. Pixels of a mean below DARK have no say; an image of such pixels alone stays as it is.
    """
    x = image.astype(np.float32) / 255
    lit = x[x.mean(axis=2) >= DARK]  # (k, 3)
    if not len(lit):
        return image
    norms = np.maximum((lit**ORDER).mean(axis=0) ** (1 / ORDER), 1 / 255)
    return (255 * (x * (norms.mean() / norms)).clip(0, 1)).round().astype(np.uint8)
