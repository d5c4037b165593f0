#!/usr/bin/env bash
# Makes .venv with the versions in constraints.txt; does nothing where nothing changed.
set -euo pipefail
cd "$(dirname "$0")/.."

python="${PYTHON:-python3.11}"
command -v "$python" >/dev/null || python=python3
missing=()
command -v git >/dev/null || missing+=(git)
if ! command -v "$python" >/dev/null ||
  ! "$python" -c 'import sys; sys.exit(sys.version_info[:2] != (3, 11))'; then
  echo "error: Python 3.11 wanted; found $("$python" --version 2>/dev/null || echo none)." >&2
  echo "Install it (Debian 12: apt-get install python3) or run: make setup PYTHON=/path/to/python3.11" >&2
  exit 1
fi
"$python" -c 'import ensurepip, venv' 2>/dev/null || missing+=(python3-venv)
# opencv-python links these; a bare machine may lack them.
has_library() { "$python" -c "import ctypes; ctypes.CDLL('$1')" 2>/dev/null; }
has_library libGL.so.1 || missing+=(libgl1)
has_library libglib-2.0.so.0 || missing+=(libglib2.0-0)
if ((${#missing[@]})); then
  echo "error: missing Debian packages: ${missing[*]}" >&2
  echo "Install them: apt-get install ${missing[*]}" >&2
  exit 1
fi

# The stamp holds what was installed, and is written last: an interrupted install is made again.
stamp=.venv/.installed
wanted="$(cat setup.cfg pyproject.toml constraints.txt tools/setup.sh | sha256sum) $EXTRAS $(pwd)"
[[ -f $stamp && "$(cat "$stamp")" == "$wanted" ]] && exit 0

echo "installing into .venv (a few minutes the first time)"
rm -f "$stamp"
[[ -x .venv/bin/python ]] || "$python" -m venv .venv
.venv/bin/python -m pip install --quiet --disable-pip-version-check \
  --constraint constraints.txt --editable ".[$EXTRAS]"
echo "$wanted" >"$stamp"
