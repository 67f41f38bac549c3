"""What the scratch backend makes around a root before a command runs in it, as a shell does it."""

PREPARE = """\
set -e
test $$ = 1
umask 022
theirs=$PATH
PATH=/usr/sbin:/usr/bin:/sbin:/bin
root=$1 started=$2 network=$3
shift 3
echo runcommit > /proc/sys/kernel/hostname
test "$network" != none || ip link set lo up
mkdir -p "$root/proc" "$root/dev" "$root/sys"
mount -t proc proc "$root/proc"
mount --rbind /sys "$root/sys"
mount -t tmpfs -o mode=755 tmpfs "$root/dev"
mkdir "$root/dev/pts" "$root/dev/shm"
mount -t devpts -o newinstance,ptmxmode=0666,mode=620 devpts "$root/dev/pts"
mount -t tmpfs -o mode=1777 tmpfs "$root/dev/shm"
for name in null zero full random urandom tty; do
  : > "$root/dev/$name"
  mount --bind "/dev/$name" "$root/dev/$name"
done
ln -s pts/ptmx "$root/dev/ptmx"
ln -s /proc/self/fd "$root/dev/fd"
ln -s /proc/self/fd/0 "$root/dev/stdin"
ln -s /proc/self/fd/1 "$root/dev/stdout"
ln -s /proc/self/fd/2 "$root/dev/stderr"
while test "$1" != --; do
  source=$1 target=$root$2 mode=$3
  shift 3
  if test -z "$source"; then
    mkdir -p "$target"
    mount -t tmpfs -o "$mode" tmpfs "$target"
    continue
  fi
  mkdir -p "${target%/*}"
  if test -d "$source"; then mkdir -p "$target"; else test -e "$target" || : > "$target"; fi
  mount --bind "$source" "$target"
  test "$mode" = rw || mount -o remount,bind,ro "$target"
done
shift
trap 'kill -KILL -1' TERM
set +e
PATH=$theirs
: > "$started"
"$@" &
wait $!
"""
"""Told to end, the shell ends all of its pid namespace at once: a command may ignore the signal.

It is the first process there, or else nothing runs.
"""
