#!/usr/bin/env bash
# Installs, on Debian, the packages of missing commands (podman, promtool, wrk ...) and libraries (by their file names).
# usage: install-tools.sh COMMAND|LIBRARY...
set -euo pipefail

# podman's package only recommends the other programs that podman needs, so they are listed here.
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
    # With grep -q, ldconfig would fail with a broken pipe.
    PATH=$PATH:/sbin ldconfig -p | grep -F "$1 " >/dev/null
  else
    command -v "$1" >/dev/null
  fi
}

missing=()
for command in "$@"; do
  # A package's binary may be in sbin, which not every PATH has.
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
