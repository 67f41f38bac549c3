#!/bin/sh
# runcommit.sh PROGRAM ARG…: the installed runcommit, or how to get it
program=$1
shift
if ! command -v "$program" >/dev/null; then
    # where installers put it for one user; an action may have no HOME
    own=${HOME:-$(getent passwd "$(id -u)" | cut -d: -f6)}/.local/bin/runcommit
    if [ "$program" = runcommit ] && [ -x "$own" ]; then
        program=$own
    else
        {
            echo "runcommit: there is no program $program (PATH is $PATH)"
            echo "tip: install runcommit on the machine that executes the action, or let Bazel build it:"
            echo "  register_toolchains(\"@runcommit//bazel/toolchains:hermetic\") in MODULE.bazel"
        } >&2
        exit 127
    fi
fi
exec "$program" "$@"
