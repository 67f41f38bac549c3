#!/bin/sh
# `podman run`, `commit` and `save` on an image that podman has.
#
#   podman.sh BASE COMMAND RESULT.tar [RUN-OPTION…]
set -eu
base=$1 command=$2 result=$3
shift 3
container=benchmark-podman-$$ image=localhost/benchmark/podman:$$
podman run --name "$container" "$@" "$base" sh -c "$command" >&2
podman commit --quiet "$container" "$image" >/dev/null
podman save --quiet --output "$result" "$image"
podman rm "$container" >/dev/null
podman rmi "$image" >/dev/null
