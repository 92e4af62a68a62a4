#!/usr/bin/env bash
# One would guess: `exiftool -json` gives the texts of a PNG as JSON strings, and of two texts with one key both or the
#   first.
# What happens: a text that looks like a number or a boolean becomes one: a prompt `1e5` is read as 100000, `true` as a
#   boolean. Of two texts with one key, the last is shown; `-a` shows both, but not in JSON.
# Versions: exiftool 12.57 (Debian 12) and 13.59 (exiftool-vendored.pl). Seen on 2026-12-01.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"

# Debian's package, unpacked here instead of installed; and a newer one.
mkdir -p debs/partial system
apt-get -qq -o Dir::Cache::archives="$folder/debs" -o APT::Sandbox::User=root --no-install-recommends -y \
  --download-only --reinstall install libimage-exiftool-perl > /dev/null
for package in debs/libimage-exiftool-perl*.deb; do dpkg -x "$package" system; done
npm install --silent --no-audit --no-fund exiftool-vendored.pl@13.59.0 > /dev/null

cat > make.py << 'PYTHON'
import zlib


def chunk(kind, body):
    return len(body).to_bytes(4, "big") + kind + body + zlib.crc32(kind + body).to_bytes(4, "big")


texts = (b"Title\x001e5", b"Comment\0true", b"Author\x00007", b"Description\0first", b"Description\0last")
head = chunk(b"IHDR", bytes.fromhex("00000001000000010802000000"))
pixels = chunk(b"IDAT", zlib.compress(bytes(4)))
with open("texts.png", "wb") as file:
    file.write(b"\x89PNG\r\n\x1a\n" + head + b"".join(chunk(b"tEXt", one) for one in texts) + pixels + chunk(b"IEND", b""))
PYTHON
python3 make.py

show() {
  echo "exiftool $("$@" -ver)"
  "$@" -json -a -Title -Comment -Author -Description texts.png
}
{
  show env PERL5LIB=system/usr/share/perl5 perl system/usr/bin/exiftool
  show perl node_modules/exiftool-vendored.pl/bin/exiftool
} | tee found.txt
diff - found.txt << 'FOUND' || { echo "this has changed"; exit 1; }
exiftool 12.57
[{
  "SourceFile": "texts.png",
  "Title": 1e5,
  "Comment": true,
  "Author": "007",
  "Description": "last"
}]
exiftool 13.59
[{
  "SourceFile": "texts.png",
  "Title": 1e5,
  "Comment": true,
  "Author": "007",
  "Description": "last"
}]
FOUND
