#!/usr/bin/env bash
# Builds the image, then runs tests/deploy against it with the given Python environment. `make test-deploy` runs this.
# usage: test-deploy.sh VENV [PYTEST ARGUMENT...]; VENV has the extras test and deploy
set -euo pipefail
cd "$(dirname "$0")/../.."
venv=$(realpath "$1")
shift
# The tests use podman's options, and podman-compose comes from the same registry as the other tools.
export ENGINE=podman
# shellcheck source=deploy/scripts/engine.sh
source deploy/scripts/engine.sh

deploy/scripts/install-tools.sh prometheus promtool
deploy/scripts/build-image.sh
PATH="$venv/bin:$PATH" "$venv/bin/python" -m pytest -m deploy -vv tests/deploy "$@"
