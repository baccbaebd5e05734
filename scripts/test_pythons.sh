#!/bin/sh
# Run the tests of the engines, kernels and command line on Python 3.11 to 3.13, each with the oldest
# torch that setup.cfg allows and with the newest.
#
#   scripts/test_pythons.sh [FOLDER]     their virtual environments, by default .venv-pythons
#
# Pythons come from PATH, or from pyenv. One that is missing is named at the end and fails the
# script, unless ALLOW_MISSING=1. PyPI's torch for Linux brings CUDA: an environment takes 6 GB, and is
# removed after its tests unless KEEP=1. PIP_EXTRA_INDEX_URL=https://download.pytorch.org/whl/cpu
# brings small ones. constraints.txt is not used, because it pins what one Python and torch need.
set -eu
cd "$(dirname "$0")/.."
folder="${1:-.venv-pythons}"
oldest="$(sed -n 's/^ *torch>=//p' setup.cfg)"
missing='' failed=''
for version in 3.11 3.12 3.13; do
  python="$(command -v "python$version" || true)"
  if ! "$python" -c '' 2>/dev/null; then # pyenv's command exists for versions that are not chosen
    python="$(ls "${PYENV_ROOT:-$HOME/.pyenv}/versions/$version".*/bin/python 2>/dev/null | tail -n 1)"
  fi
  if [ -z "$python" ]; then
    missing="$missing python$version"
    continue
  fi
  for torch in "torch==$oldest.*" torch; do
    name="Python $version, $torch"
    environment="$folder/$version-$(echo "$torch" | tr -cd 'a-z0-9.')"
    echo "== $name"
    "$python" -m venv "$environment"
    if "$environment/bin/python" -m pip install --disable-pip-version-check -q \
      "$torch" -e '.[test,higher,tune]' &&
      "$environment/bin/python" -m pytest -q -p no:xdist -m 'not slow' \
        tests/meta/adapt tests/models/kernels tests/cli; then
      echo "== $name: passed"
    else
      failed="$failed; $name"
    fi
    [ -n "${KEEP:-}" ] || rm -rf "$environment"
  done
done
[ -z "$missing" ] || echo "not found here, so not tested:$missing"
[ -z "$failed" ] || echo "failed:${failed#;}"
[ -z "$failed" ] && { [ -z "$missing" ] || [ -n "${ALLOW_MISSING:-}" ]; }
