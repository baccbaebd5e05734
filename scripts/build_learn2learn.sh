#!/bin/sh
# Build learn2learn 0.2.0 from its source archive and install it, without its requirements.
#
#   scripts/build_learn2learn.sh [PYTHON]     PYTHON of the environment to install into
#
# The archive holds C files that Python 3.11 and newer cannot compile. If the .pyx files are newer than
# those, Cython before 3 generates them again. We use no part that needs most of its requirements.
set -eu

python=${1:-.venv/bin/python}
version=0.2.0
builders='Cython==0.29.37 setuptools==69.5.1 wheel==0.43.0'

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
source=$work/learn2learn-$version
builder=$work/venv/bin/python

pip_in() {
  with=$1 command=$2
  shift 2
  "$with" -m pip "$command" --disable-pip-version-check -q "$@"
}

echo "building learn2learn $version"
"$python" -m venv "$work/venv"
# shellcheck disable=SC2086  # several requirements
pip_in "$builder" install $builders
pip_in "$builder" download --no-deps --no-build-isolation --no-binary learn2learn \
  -d "$work" "learn2learn==$version"
tar -xzf "$source.tar.gz" -C "$work"
find "$source/learn2learn" -name '*.pyx' -exec touch {} +
if ! (cd "$source" && "$builder" setup.py -q build_ext bdist_wheel) >"$work/log" 2>&1; then
  cat "$work/log" >&2
  exit 1
fi
pip_in "$python" install --no-deps --force-reinstall "$source"/dist/*.whl
