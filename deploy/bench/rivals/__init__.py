"""What our task endpoints are measured beside: each answers `/v1/classify` with the labels of one image file.

``python -m deploy.bench.rivals.<name> PORT PACKAGE``; ``PACKAGE`` is the folder of a classifier of the zoo's kind.
"""

# Where BentoML's service, which its own command starts, finds the package's folder.
FOLDER = "RIVAL_PACKAGE"
