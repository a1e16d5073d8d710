"""Servers to compare our task endpoints with: each answers `/v1/classify` with the labels of one image file.

``python -m deploy.bench.rivals.<name> PORT PACKAGE``; ``PACKAGE`` is the folder of a classifier of the zoo's kind.
"""

# The environment variable with the package's folder, for BentoML's service, which its own command starts.
FOLDER = "RIVAL_PACKAGE"
