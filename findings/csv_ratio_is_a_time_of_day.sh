#!/usr/bin/env bash
# One would guess: `16:9` in a CSV file, plain or in quotation marks, is read as that text.
# What happens: Gnumeric reads a time of day, and writes 16:09:00 back; quotation marks change nothing. polars does so with
#   `try_parse_dates=True`, if the whole column looks like times. An apostrophe before the text keeps it: Gnumeric takes
#   it away, polars shows it.
# Versions: Gnumeric 1.12.55 (Debian 12), polars 2.1.0. Seen on 2026-12-01.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"

python3 -m venv plain
plain/bin/pip install --quiet --disable-pip-version-check polars==2.1.0 2> /dev/null

# Debian's Gnumeric and what it needs, unpacked here instead of installed.
mkdir -p debs/partial system
apt-get -qq -o Dir::Cache::archives="$folder/debs" -o APT::Sandbox::User=root --no-install-recommends -y \
  --download-only install gnumeric > /dev/null
for package in debs/*.deb; do dpkg -x "$package" system; done
libraries=system/usr/lib/$(uname -m)-linux-gnu:system/usr/lib

printf '%s\n' 'plain,apostrophe,quoted' "16:9,'16:9,\"16:9\"" "2:3,'2:3,\"2:3\"" > ratios.csv
LD_LIBRARY_PATH=$libraries system/usr/bin/ssconvert ratios.csv gnumeric.csv 2> /dev/null
{
  echo "Gnumeric:"
  cat gnumeric.csv
  echo "polars:"
  plain/bin/python -c 'import polars; polars.read_csv("ratios.csv", try_parse_dates=True).write_csv("polars.csv")'
  cat polars.csv
} | tee found.txt
diff - found.txt << 'FOUND' || { echo "this has changed"; exit 1; }
Gnumeric:
plain,apostrophe,quoted
16:09:00,16:9,16:09:00
02:03:00,2:3,02:03:00
polars:
plain,apostrophe,quoted
16:09:00.000000000,'16:9,16:09:00.000000000
02:03:00.000000000,'2:3,02:03:00.000000000
FOUND
