#!/bin/sh
# The old way, to compare with: whole images into and out of the engine as archives, as the script
# of rules_docker's container_run_and_commit_layer did it (here for three engines).
#
#   classic.sh ENGINE BASE.tar COMMAND LAYER.tar WORKFOLDER [RUN-OPTION…]
#
# BASE.tar is a docker-archive with one tagged image. Prints the diff_id. What the old rule left in
# the engine (the base) stays; the container, the committed image and the saved one go.
set -eu
engine=$1 base=$2 command=$3 layer=$4
saved=$5/saved-$$.tar
result=localhost/benchmark/classic:$$
shift 5

with_docker_or_podman() {
  image=$("$engine" load --input "$base" | sed -n 's/^Loaded image[^:]*: *//p' | tail -n 1)
  container=$("$engine" create "$@" "$image" sh -c "$command")
  "$engine" start --attach "$container" >&2
  "$engine" commit "$container" "$result" >/dev/null
  "$engine" save --output "$saved" "$result"
  "$engine" rm "$container" >/dev/null
  "$engine" rmi "$result" >/dev/null
}

with_buildah() {
  container=$(buildah from --quiet "docker-archive:$base")
  buildah run "$@" "$container" -- sh -c "$command" >&2
  buildah commit --quiet "$container" "docker-archive:$saved:$result" >/dev/null
  buildah rm "$container" >/dev/null
}

extract_last_layer() {
  last=$(tar --extract --to-stdout --file "$saved" manifest.json |
    sed 's/.*"Layers":\[\([^]]*\)\].*/\1/; s/.*"\([^"]*\)"$/\1/')
  tar --extract --to-stdout --file "$saved" "$last" >"$layer"
  echo "sha256:$(sha256sum <"$layer" | cut -d ' ' -f 1)"
}

trap 'rm -f "$saved"' EXIT
case $engine in
  buildah) with_buildah "$@" ;;
  *) with_docker_or_podman "$@" ;;
esac
extract_last_layer
