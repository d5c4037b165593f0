#!/usr/bin/env bash
# Types README's commands into a fresh Debian, as a stranger would: needs root and debootstrap.
#   tools/debian.sh 12|13 demo|test|wheel [ARGUMENT of make …]
#   ROOT    folder of that Debian, kept and used again; by default /var/tmp/matnet-debian-12|13
#   MIRROR  of Debian's packages; by default debootstrap's own
# What is committed is tried. Variables PIP_*, *_proxy and those that name a bundle of certificates
# hold inside too.
set -euo pipefail
cd "$(dirname "$0")/.."
checkout="$PWD"
usage="usage: tools/debian.sh 12|13 demo|test|wheel [ARGUMENT of make …]"

fail() {
  printf '%s\n' "$@" >&2
  exit 1
}

release="${1:-}" target="${2:-}"
case "$release" in
  12) suite=bookworm ;;
  13) suite=trixie ;;
  *) fail "error: Debian 12 or 13 is wanted, not '$release'" "$usage" ;;
esac
case "$target" in
  demo | test) ;;
  wheel) [[ $# -eq 2 ]] || fail "error: wheel takes no arguments, and got: ${*:3}" "$usage" ;;
  *) fail "error: demo, test or wheel is wanted, not '$target'" "$usage" ;;
esac
arguments=("${@:3}")
root="${ROOT:-/var/tmp/matnet-debian-$release}"
[[ $root == /?* ]] || fail "error: ROOT is to be a whole path, not '$root'"
made="$root/var/lib/made-by-matnet"
if [[ -e $root && "$(cat "$made" 2>/dev/null)" != "$suite" ]]; then
  fail "error: $root is there, and no Debian $release that this script finished" \
    "Remove it, or name another folder: ROOT=/path tools/debian.sh $*"
fi
# What a stranger is told to install: README's own line.
packages="$(sed -n 's/^apt-get install //p' README.md)"
[[ -n $packages ]] || fail "error: README.md has no line 'apt-get install PACKAGE …'"
PATH="$PATH:/usr/sbin:/sbin"
((EUID == 0)) || fail "error: only root can make a Debian root: sudo -E tools/debian.sh $*"
if [[ ! -e $root ]]; then
  command -v debootstrap >/dev/null || fail "error: debootstrap is missing: apt-get install debootstrap"
fi

# In a mount namespace of its own, so that nothing stays mounted however this ends.
if [[ -z ${MATNET_UNSHARED:-} ]]; then
  MATNET_UNSHARED=1 exec unshare --mount "$checkout/tools/debian.sh" "$@"
fi

[[ -e $root ]] || debootstrap --variant=minbase --include=ca-certificates "$suite" "$root" ${MIRROR:+"$MIRROR"}
cp --dereference /etc/resolv.conf /etc/hosts "$root/etc/"
mount -t proc proc "$root/proc"
mount --rbind /dev "$root/dev"

# Of the environment only what reaches the registries; files that it names come along.
inside=(PATH=/usr/local/bin:/usr/bin:/bin:/usr/sbin:/sbin LANG=C.UTF-8 "TERM=${TERM:-dumb}")
for name in $(compgen -e); do
  case "$name" in
    PIP_* | *_proxy | *_PROXY | SSL_CERT_FILE | REQUESTS_CA_BUNDLE) value="${!name}" ;;
    *) continue ;;
  esac
  [[ ! -d $value ]] || continue # a folder of this machine is not there
  [[ ! -f $value ]] || install -D --mode=644 "$value" "$root$value"
  inside+=("$name=$value")
done
as_root() {
  chroot "$root" env -i HOME=/root DEBIAN_FRONTEND=noninteractive "${inside[@]}" "$@"
}
as_stranger() {
  chroot --userspec=stranger:stranger "$root" env -i HOME=/home/stranger USER=stranger \
    "${inside[@]}" "$@"
}

as_root apt-get update --quiet=2
# shellcheck disable=SC2086  # one package a word
as_root apt-get install --quiet=2 --yes --no-install-recommends git $packages
as_root id stranger >/dev/null 2>&1 || as_root useradd --create-home --shell /bin/bash stranger
echo "$suite" >"$made"

# A clone of what is committed, in the place of an earlier one; its .venv and runs stay.
here="/home/stranger/matnet-jax"
bundle="$root/home/stranger/commits.bundle"
git bundle create --quiet "$bundle" HEAD
as_stranger bash -euc 'cd ~
  [[ -d matnet-jax ]] || git init --quiet matnet-jax
  cd matnet-jax
  git fetch --quiet ../commits.bundle HEAD
  git -c advice.detachedHead=false checkout --quiet --force FETCH_HEAD
  rm ../commits.bundle'
echo "Debian $(cat "$root/etc/debian_version"), $(as_root python3 --version), commit" \
  "$(git -C "$checkout" rev-parse --short HEAD)"

case "$target" in
  demo | test) as_stranger make -C "$here" --no-print-directory "$target" "${arguments[@]}" ;;
  wheel)
    as_stranger "$here/tools/wheel.sh" install /home/stranger/wheel
    # Of a chroot's user the kernel lets none take the network away: it is taken here.
    unshare --net chroot --userspec=stranger:stranger "$root" env -i HOME=/home/stranger \
      "${inside[@]}" "$here/tools/wheel.sh" check /home/stranger/wheel
    ;;
esac
