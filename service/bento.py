"""Lectorium as a BentoML service, for ``bentoml serve service.bento:Lectorium`` and ``bentoml build``.

It is configured as ``lectorium serve`` is, by LECTORIUM_* variables and the file that LECTORIUM_CONFIG names. It has
the HTTP port alone: the Open Inference Protocol and gRPC need ``lectorium serve``.
"""

import os

# Set by BentoML for metrics of its own, which are off: ours would be written to files that nobody reads.
os.environ.pop("PROMETHEUS_MULTIPROC_DIR", None)

from bentoml.exceptions import BentoMLConfigException

from service.config import load_config
from service.errors import InvalidConfig
from service.surfaces.bentoml_host import hosted

try:
    Lectorium = hosted(load_config())
except InvalidConfig as error:
    raise BentoMLConfigException(str(error)) from error
