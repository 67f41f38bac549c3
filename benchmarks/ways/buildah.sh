#!/bin/sh
# `buildah from`, `run` and `commit` on an image that buildah has, and `push` to an OCI layout.
#
#   buildah.sh BASE COMMAND RESULT [RUN-OPTION…]
set -eu
base=$1 command=$2 result=$3
shift 3
image=localhost/benchmark/buildah:$$
container=$(buildah from --pull=never --quiet "$base")
buildah run "$@" "$container" -- sh -c "$command" >&2
buildah commit --quiet "$container" "$image" >/dev/null
buildah push --quiet "$image" "oci:$result:result" >/dev/null
buildah rm "$container" >/dev/null
buildah rmi "$image" >/dev/null
