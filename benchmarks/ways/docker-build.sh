#!/bin/sh
# `docker build` of FROM + RUN on an image that the daemon has, and `docker save` of the result.
#
#   docker-build.sh BASE COMMAND RESULT.tar [RUN-OPTION…]
#
# BUILDER is the client; DOCKER_BUILDKIT says which of the daemon's builders it asks for.
set -eu
base=$1 command=$2 result=$3
shift 3
image=localhost/benchmark/docker-build:$$
printf 'FROM %s\nRUN %s\n' "$base" "$command" |
  "$BUILDER" build --quiet --no-cache "$@" --tag "$image" - >/dev/null
"$BUILDER" save --output "$result" "$image"
"$BUILDER" rmi "$image" >/dev/null
