#!/usr/bin/env bash
# Installs, on Debian, what the given commands need and is missing: podman, promtool, wrk ...; a library by its file name.
# usage: install-tools.sh COMMAND|LIBRARY...
set -euo pipefail

# What podman needs beside itself is only recommended by its package, hence the list.
declare -A packages=(
  [podman]="podman buildah runc conmon netavark aardvark-dns iptables uidmap catatonit"
  [mmdebstrap]="mmdebstrap ca-certificates"
  [prometheus]="prometheus"
  [promtool]="prometheus"
  [wrk]="wrk"
  [h2load]="nghttp2-client"
  [libb64.so.0d]="libb64-0d"
)

present() {
  if [[ $1 == lib*.so* ]]; then
    # Cut short by -q, ldconfig would fail by a broken pipe.
    PATH=$PATH:/sbin ldconfig -p | grep -F "$1 " >/dev/null
  else
    command -v "$1" >/dev/null
  fi
}

missing=()
for command in "$@"; do
  # A package's binary may live in sbin, which not every PATH has.
  present "$command" || read -ra missing <<<"${missing[*]} ${packages[$command]}"
done
[[ ${#missing[@]} -eq 0 ]] && exit 0

if ! command -v apt-get >/dev/null || [[ $EUID -ne 0 ]]; then
  echo "missing: $*. On Debian, as root: apt-get install ${missing[*]}" >&2
  exit 1
fi
echo "installing: ${missing[*]}"
export DEBIAN_FRONTEND=noninteractive
apt-get update -qq
apt-get install -y -qq --no-install-recommends "${missing[@]}"
