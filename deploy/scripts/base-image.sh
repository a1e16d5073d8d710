#!/usr/bin/env bash
# Prints the base image to build from: BASE_IMAGE if set, else the official Python image, else, if no registry can be
# reached, an image of the same Debian release and Python, made from Debian's packages.
set -euo pipefail
# shellcheck source=deploy/scripts/engine.sh
source "$(dirname "$0")/engine.sh"

official=docker.io/library/python:3.11-slim-bookworm
bootstrapped=localhost/lectorium-base:bookworm

if [[ -n ${BASE_IMAGE:-} ]]; then
  echo "$BASE_IMAGE"
  exit
fi
if "$ENGINE" image inspect "$official" >/dev/null 2>&1 || timeout 300 "$ENGINE" pull -q "$official" >/dev/null 2>&1; then
  echo "$official"
  exit
fi
if ! "$ENGINE" image inspect "$bootstrapped" >/dev/null 2>&1; then
  echo "no registry can be reached: building $bootstrapped from Debian's packages" >&2
  "$(dirname "$0")/install-tools.sh" mmdebstrap >&2
  folder=$(mktemp -d)
  trap 'rm -rf "$folder"' EXIT
  # The official image has `python` and `pip` in /usr/local/bin. The host's certificates are copied, because a proxy
  # between this machine and a package registry is also between a build and that registry.
  # shellcheck disable=SC2016  # $1 is the hook's: the folder of the new root
  mmdebstrap --quiet --variant=minbase --include=ca-certificates,python3,python3-pip,python3-venv \
    --customize-hook='ln -s /usr/bin/python3 "$1/usr/local/bin/python"' \
    --customize-hook='ln -s /usr/bin/pip3 "$1/usr/local/bin/pip"' \
    --customize-hook='upload /etc/ssl/certs/ca-certificates.crt /etc/ssl/certs/ca-certificates.crt' \
    bookworm "$folder/root.tar" >&2
  "$ENGINE" import --change "ENV PIP_CERT=/etc/ssl/certs/ca-certificates.crt" \
    "$folder/root.tar" "$bootstrapped" >/dev/null
fi
echo "$bootstrapped"
