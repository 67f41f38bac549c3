#!/bin/sh
# `umoci unpack`, `runc run` and `umoci repack`: no engine and no store, an OCI layout in place.
#
#   umoci.sh NAME COMMAND LAYOUT
#
# The layout gets a second image, `result`. The base's own command is a shell that reads its
# standard input. A bundle has a network namespace of its own, without a network.
set -eu
name=$1 command=$2 layout=$3
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
umoci unpack --image "$layout:$name" "$work/bundle" >&2
sed -i 's/"terminal": true/"terminal": false/' "$work/bundle/config.json"
echo "$command" | runc --root "$work/runc" run --bundle "$work/bundle" "benchmark-umoci-$$" >&2
umoci repack --image "$layout:result" "$work/bundle" >&2
