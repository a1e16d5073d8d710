#!/usr/bin/env bash
# Builds the serving image as lectorium:latest and lectorium:<version>. `make image` runs this.
set -euo pipefail
cd "$(dirname "$0")/../.."
# shellcheck source=deploy/scripts/engine.sh
source deploy/scripts/engine.sh

version=$(sed -n 's/^version = "\(.*\)"$/\1/p' pyproject.toml)
revision=$(git describe --always --dirty --abbrev=40 2>/dev/null || echo unknown)
options=()
# Podman's own format has no HEALTHCHECK; docker has only the docker format, and no option for it.
[[ $ENGINE == podman ]] && options+=(--format docker)

base=$(deploy/scripts/base-image.sh)
"$ENGINE" build "${options[@]}" -f deploy/docker/Dockerfile \
  --build-arg "BASE_IMAGE=$base" --build-arg "VERSION=$version" --build-arg "REVISION=$revision" \
  -t lectorium:latest -t "lectorium:$version" .
