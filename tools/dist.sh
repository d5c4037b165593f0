#!/usr/bin/env bash
# The source distribution and the wheel of what is committed, checked strictly: what a release uploads.
#   tools/dist.sh [FOLDER]   by default dist, which must not hold other versions
#   PYTHON  that the environment is made of; by default python3
set -euo pipefail
checkout="$(cd "$(dirname "$0")/.." && pwd)"

fail() {
  printf '%s\n' "$@" >&2
  exit 1
}

(($# <= 1)) || fail "error: at most one folder is wanted, and got: $*" "usage: tools/dist.sh [FOLDER]"
folder="${1:-$checkout/dist}"
mkdir -p "$folder"
folder="$(cd "$folder" && pwd)"
[[ -z "$(ls -A "$folder")" ]] || fail "error: $folder is not empty: remove it, or name another"

apart="$(mktemp -d)"
trap 'rm -rf "$apart"' EXIT
"${PYTHON:-python3}" -m venv "$apart/env"
pip=("$apart/env/bin/python" -m pip --quiet --disable-pip-version-check --no-input)
"${pip[@]}" install build twine
mkdir "$apart/source"
git -C "$checkout" archive HEAD | tar -x -C "$apart/source"
# The wheel is built of the source distribution: what that lacks, it lacks too.
"$apart/env/bin/python" -m build --outdir "$folder" "$apart/source" >"$apart/log" 2>&1 ||
  fail "$(cat "$apart/log")" "error: no distribution was built"
"$apart/env/bin/twine" check --strict "$folder"/*

git -C "$checkout" ls-tree -r --name-only HEAD matnet_jax data_pipeline configs | sort >"$apart/wanted"
"$apart/env/bin/python" -m zipfile -l "$folder"/*.whl | awk 'NR > 1 {print $1}' |
  grep -v '\.dist-info/' | sort >"$apart/held"
diff "$apart/wanted" "$apart/held" || fail "error: the wheel does not hold what is committed (<), or more (>)"
cd "$folder"
sha256sum -- *
