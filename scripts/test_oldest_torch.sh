#!/bin/sh
# Run the tests of the engines and kernels on the oldest torch that setup.cfg allows.
#
#   scripts/test_oldest_torch.sh [FOLDER]     its virtual environment, by default .venv-oldest-torch
#
# PyPI's torch for Linux brings CUDA: the folder takes 6 GB. constraints.txt is not used, because it
# pins what the newest torch needs.
set -eu
cd "$(dirname "$0")/.."
folder="${1:-.venv-oldest-torch}"
oldest="$(sed -n 's/^ *torch>=//p' setup.cfg)"
python="$folder/bin/python"
check="import higher, hypothesis, pytest, torch; assert torch.__version__.startswith('$oldest')"
if ! "$python" -c "$check" 2>/dev/null; then
  "${PYTHON:-python3}" -m venv "$folder"
  "$python" -m pip install --disable-pip-version-check -q "torch==$oldest.*" -e '.[test,higher]'
fi
exec "$python" -m pytest -q -p no:xdist tests/meta/adapt tests/models/kernels
