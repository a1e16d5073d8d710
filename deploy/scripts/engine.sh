# shellcheck shell=bash
# Sourced: sets ENGINE, the container engine to drive (podman, or docker where only that is there).
here=$(dirname "${BASH_SOURCE[0]}")

if [[ -z ${ENGINE:-} ]]; then
  ENGINE=podman
  command -v podman >/dev/null || ! command -v docker >/dev/null || ENGINE=docker
fi
[[ $ENGINE != podman ]] || "$here/install-tools.sh" podman

# Podman asks for a million open files and for systemd's cgroups; where a machine (a container, a small VM)
# allows neither, every run fails. There, and only there, ask for less.
if [[ $ENGINE == podman && -z ${CONTAINERS_CONF:-} && ($(ulimit -Hn) != unlimited && $(ulimit -Hn) -lt 1048576) ]]; then
  CONTAINERS_CONF=$(realpath "$here/containers.conf")
  export CONTAINERS_CONF
fi
export ENGINE
