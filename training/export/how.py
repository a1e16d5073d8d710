"""How a package is written: what `lectorium export` may be asked for."""

from dataclasses import dataclass, fields
from typing import Literal

Storage = Literal["float32", "float16", "int8"]


@dataclass(frozen=True)
class How:
    """How ``weights`` are stored, and whether a ``temperature`` is fitted (None: as the recipe says).

    With ``deconv`` (None: as the subject says), the package also has the deconvolution graph if the network supports
    it; that graph holds a second copy of the convolutions' weights. Int8 packages never have it, to stay small.
    """

    weights: Storage = "float16"
    temperature: bool | None = None
    deconv: bool | None = None

    @property
    def asked(self) -> frozenset[str]:
        """The fields that differ from their default."""
        return frozenset(field.name for field in fields(self) if getattr(self, field.name) != field.default)


PLAIN = How()
