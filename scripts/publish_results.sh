#!/bin/sh
# Reproduce and analyse MovieLens-100K from scratch, and copy the results into benchmarks/results/.
#
#   scripts/publish_results.sh [METASELECTOR]     the command to run
set -eu

metaselector=${1:-.venv/bin/metaselector}
run=runs/movielens-100k
published=benchmarks/results/movielens-100k

rm -rf "$run"
"$metaselector" reproduce --jobs 2
"$metaselector" analyse
mkdir -p "$published"
for name in config.yaml environment.json results.csv differences.csv summary.md; do
  cp "$run/$name" "$published/"
done
rm -rf "$published/analysis"
cp -r "$run/analysis" "$run/figures" "$published/"
rm "$published/analysis/rows.csv"  # too large to commit
