"""The table of generative networks: every variant under its name."""

from collections.abc import Mapping
from typing import Any

from torch import nn

from models.generation import (
    autoencoder,
    contrastive,
    density_network,
    diffusion,
    flow,
    gan,
    gated_pixelcnn,
    glow,
    kernel_density,
    pca,
    pixelcnn,
    realnvp,
    semantic_hashing,
    vae,
)
from models.variant import Variant, build_row, find_row

# In the order of the lecture.
FAMILIES = (
    *(pca, kernel_density, density_network, autoencoder, semantic_hashing, vae),
    *(pixelcnn, gated_pixelcnn, gan, flow, realnvp, glow, diffusion, contrastive),
)

VARIANTS: Mapping[str, Variant] = {variant.name: variant for family in FAMILIES for variant in family.VARIANTS}


def find(name: str) -> Variant:
    """The row called ``name``.

    Raises:
        KeyError: there is none; the message lists the names there are.
    """
    return find_row(VARIANTS, name)


def build(name: str, config: Mapping[str, Any] | None = None) -> nn.Module:
    """A fresh model of the row ``name``; ``config`` replaces some of the row's values.

    Raises:
        KeyError: no such row, or a key in ``config`` that the family does not have.
    """
    return build_row(find(name), config)
