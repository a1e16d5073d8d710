"""The load generators, which come by apt: where one is missing, what needs it is skipped."""

import shutil

import pytest

needs_generators = pytest.mark.skipif(
    not (shutil.which("wrk") and shutil.which("h2load")), reason="deploy/scripts/install-tools.sh wrk h2load"
)
