#!/bin/sh
# Make sure that the tests have a browser: METASELECTOR_CHROMIUM, an installed one, or a new Chromium.
set -eu

[ -z "${METASELECTOR_CHROMIUM:-}" ] || exit 0
for name in chromium chromium-browser google-chrome; do
  if command -v "$name" >/dev/null; then exit 0; fi
done

if [ "$(id -u)" = 0 ] && command -v apt-get >/dev/null; then
  apt-get update -qq
  DEBIAN_FRONTEND=noninteractive \
    apt-get install -qq -y --no-install-recommends chromium >/dev/null
else
  echo 'no browser found: install Chromium or Chrome (Debian: apt-get install chromium), or' >&2
  echo 'set METASELECTOR_CHROMIUM to the path of its program' >&2
  exit 1
fi
