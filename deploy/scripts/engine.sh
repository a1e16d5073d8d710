# shellcheck shell=bash
# To be sourced: sets ENGINE, the container engine to use (podman, or docker if only that is installed).
here=$(dirname "${BASH_SOURCE[0]}")

if [[ -z ${ENGINE:-} ]]; then
  ENGINE=podman
  command -v podman >/dev/null || ! command -v docker >/dev/null || ENGINE=docker
fi
[[ $ENGINE != podman ]] || "$here/install-tools.sh" podman

# Podman asks for a million open files and for systemd's cgroups; on a machine that allows neither (a container, a small
# VM), every run fails. Only there, ask for less.
if [[ $ENGINE == podman && -z ${CONTAINERS_CONF:-} && ($(ulimit -Hn) != unlimited && $(ulimit -Hn) -lt 1048576) ]]; then
  CONTAINERS_CONF=$(realpath "$here/containers.conf")
  export CONTAINERS_CONF
fi
export ENGINE
