#!/usr/bin/env bash
# What the wheel alone gives: built, installed with the extra `predict` into a fresh environment, and
# then, without a network, made to score a phone's picture and film.
#   tools/wheel.sh [install|check] [FOLDER]   both where none is named; FOLDER is made, and kept
#   PYTHON  that the environment is made of; by default python3
set -euo pipefail
checkout="$(cd "$(dirname "$0")/.." && pwd)"
usage="usage: tools/wheel.sh [install|check] [FOLDER]"

fail() {
  printf '%s\n' "$@" >&2
  exit 1
}

step=all
case "${1:-}" in
  install | check)
    step="$1"
    shift
    ;;
esac
(($# <= 1)) || fail "error: at most one folder is wanted, and got: $*" "$usage"
folder="${1:-}"
if [[ -z $folder ]]; then
  [[ $step != check ]] || fail "error: check wants the folder that install filled" "$usage"
  folder="$(mktemp -d)"
fi
mkdir -p "$folder"
folder="$(cd "$folder" && pwd)"
matnet="$folder/env/bin/matnet"

install_wheel() {
  "${PYTHON:-python3}" -m venv --clear "$folder/env"
  rm -rf "$folder/source" "$folder/dist" "$folder/files"
  # What is committed, elsewhere: no file of a checkout can stand in for one that the wheel lacks.
  mkdir "$folder/source"
  git -C "$checkout" archive HEAD | tar -x -C "$folder/source"
  local pip=("$folder/env/bin/python" -m pip --quiet --disable-pip-version-check --no-input)
  "${pip[@]}" wheel --no-deps --wheel-dir "$folder/dist" "$folder/source"
  local wheels=("$folder"/dist/matnet_jax-*.whl)
  "${pip[@]}" install "${wheels[0]}[predict]"
  cd "$folder"
  env/bin/python source/tests/phone_files.py files
  "$matnet" pack --workdir=files/run --name=small --out=files/weights
  rm -rf source files/run
  du -sh env dist/*.whl
}

check() {
  [[ -x $matnet ]] || fail "error: $folder holds no installed wheel: tools/wheel.sh install $folder"
  # Where the network was not taken away, proxies lead nowhere; and no cache of another run helps.
  export {http,https,all}_proxy=http://127.0.0.1:9 MATNET_CACHE="$folder/cache"
  cd "$folder"
  rm -rf cache out
  echo "network interfaces: $(sed -n 's/^ *\([^ :]*\):.*/\1/p' /proc/net/dev | xargs)"
  "$matnet" info
  local predict=("$matnet" predict files/photo.heic files/clip.mov --any_crops
    --weights=files/weights/small-experimental.json)
  "${predict[@]}" --detector=none --out=out/whole
  # The drawn files show no face: that YuNet says so, from its own weights, is what is tried.
  local status=0
  "${predict[@]}" --out=out/faces || status=$?
  tail -n +1 out/*/predictions.csv
  [[ $status == 3 && "$(grep -c 'no face' out/faces/predictions.csv)" == 2 ]] ||
    fail "error: with YuNet 'no face' in both rows and status 3 were wanted, status was $status"
  [[ "$(cut -d, -f2 out/whole/predictions.csv | grep -c '^[01]\.[0-9]')" == 2 ]] ||
    fail "error: a score in both rows of $folder/out/whole/predictions.csv was wanted"
  echo "the wheel works without a network: $folder"
}

case "$step" in
  install) install_wheel ;;
  check) check ;;
  all)
    install_wheel
    apart=(unshare --map-root-user --net)
    "${apart[@]}" true 2>/dev/null || apart=()
    "${apart[@]}" "$checkout/tools/wheel.sh" check "$folder"
    ;;
esac
