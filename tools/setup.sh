#!/usr/bin/env bash
# Makes .venv with the versions of constraints.txt; does nothing where nothing changed.
#   PYTHON  the interpreter to start from, 3.11 to 3.13; by default the newest of them that is here
#   EXTRAS  extras of setup.cfg; by default those of last time, at first "test,video"
set -euo pipefail
cd "$(dirname "$0")/.."

fail() {
  printf '%s\n' "$@" >&2
  exit 1
}

# Two makes at once: the second waits, and finds the work done.
exec 9<setup.cfg
! command -v flock >/dev/null || flock 9

# The stamp, what was installed and its extras, is written last.
stamp=.venv/.installed
unfinished=.venv/.unfinished
extras="${EXTRAS:-}"
[[ -n $extras || ! -f $stamp ]] || extras="$(sed -n 2p "$stamp")"
extras="${extras:-test,video}"
wanted="$(cat setup.cfg pyproject.toml constraints.txt tools/setup.sh | sha256sum | cut -c1-64) $PWD
$extras"
if [[ -x .venv/bin/python && -f $stamp && "$(cat "$stamp")" == "$wanted" ]]; then
  exit 0
fi

is_wanted() {
  "$1" -c 'import sys; sys.exit(not (3, 11) <= sys.version_info[:2] <= (3, 13))' 2>/dev/null
}
candidates=(python3.13 python3.12 python3.11 python3)
[[ -z ${PYTHON:-} ]] || candidates=("$PYTHON")
python=
for candidate in "${candidates[@]}"; do
  if is_wanted "$candidate"; then
    python="$candidate"
    break
  fi
done

missing=()
command -v git >/dev/null || missing+=(git)
if [[ -n $python ]]; then
  "$python" -c 'import ensurepip, venv' 2>/dev/null || missing+=(python3-venv)
elif ! command -v "${candidates[-1]}" >/dev/null; then
  missing+=(python3 python3-venv)
fi
# OpenCV links these, and its wheel does not bring them.
has_library() {
  if [[ -n $python ]]; then
    "$python" -c "import ctypes; ctypes.CDLL('$1')" 2>/dev/null
  else
    [[ "$(PATH="$PATH:/usr/sbin:/sbin" ldconfig -p)" == *"$1"* ]]
  fi
}
has_library libGL.so.1 || missing+=(libgl1)
has_library libglib-2.0.so.0 || missing+=(libglib2.0-0)
if ((${#missing[@]})); then
  fail "error: missing Debian packages: ${missing[*]}" \
    "Install them, then run make again: apt-get install ${missing[*]}"
fi
if [[ -z $python ]]; then
  fail "error: Python 3.11 to 3.13 is wanted; ${candidates[-1]} is $("${candidates[-1]}" --version 2>&1)." \
    "Debian 12 and 13 have it as python3; elsewhere: make setup PYTHON=/path/to/python3.13"
fi

# A .venv whose installing was cut short may hold half a package that pip takes for a whole one.
if [[ -e $unfinished ]] || ! is_wanted .venv/bin/python ||
  ! .venv/bin/python -m pip --version >/dev/null 2>&1; then
  rm -rf .venv/bin # first, so that a clearing cut short is taken up again
  "$python" -m venv --clear .venv
fi
echo "installing into .venv: $extras (some minutes the first time)"
touch "$unfinished"
rm -f "$stamp"
pip_install() {
  PYTHONWARNINGS=ignore .venv/bin/python -m pip install --quiet --disable-pip-version-check \
    --no-input --constraint constraints.txt "$@" ||
    fail "error: pip could not install $*; its own words are above." "To try again: make setup"
}
# The build back end first, so that it is pinned too.
pip_install pip setuptools wheel
pip_install --no-build-isolation --editable ".[$extras]"
rm "$unfinished"
echo "$wanted" >"$stamp"
