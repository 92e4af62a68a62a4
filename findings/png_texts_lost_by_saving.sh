#!/usr/bin/env bash
# One would guess: a program that keeps the texts of a PNG keeps all three forms of them, tEXt, zTXt and iTXt, and leaves
#   them where they were.
# What happens: ImageMagick keeps tEXt and zTXt, moves them behind the pixels, and drops iTXt, and with it XMP; no option
#   keeps it. libvips, and sharp with `keepMetadata`, make zTXt of all texts, XMP too, which XMP does not allow; ComfyUI
#   reads tEXt and iTXt only. They all drop Content Credentials (caBX). Pillow, and sharp by default, keep nothing. oxipng
#   keeps everything, and with `--strip safe` nothing.
# Versions: ImageMagick 6.9.11-60 (Debian 12), libvips 8.18.7 (pyvips-binary), sharp 0.35.5, Pillow 13.0.0, oxipng 9.1.1
#   (pyoxipng). Seen on 2026-12-01.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"

python3 -m venv plain
plain/bin/pip install --quiet --disable-pip-version-check pillow==13.0.0 pyvips==3.2.0 pyvips-binary==8.18.7 \
  pyoxipng==9.1.1 2> /dev/null

npm install --silent --no-audit --no-fund sharp@0.35.5 > /dev/null

# Debian's ImageMagick and what it needs, unpacked here instead of installed.
mkdir -p debs/partial system
apt-get -qq -o Dir::Cache::archives="$folder/debs" -o APT::Sandbox::User=root --no-install-recommends -y \
  --download-only --reinstall install imagemagick-6.q16 libmagickcore-6.q16-6 libmagickwand-6.q16-6 \
  imagemagick-6-common > /dev/null
for package in debs/*.deb; do dpkg -x "$package" system; done
libraries=system/usr/lib/$(uname -m)-linux-gnu
magick() {
  LD_LIBRARY_PATH=$libraries MAGICK_CODER_MODULE_PATH=$(echo "$libraries"/ImageMagick-6*/modules-Q16/coders) \
    MAGICK_CONFIGURE_PATH=system/etc/ImageMagick-6 system/usr/bin/convert-im6.q16 "$@"
}

cat > show.py << 'PYTHON'
import sys
import zlib
from pathlib import Path

import oxipng
import pyvips
from PIL import Image


def chunks(data):
    at, found = 8, []
    while at < len(data):
        size, kind = int.from_bytes(data[at : at + 4], "big"), data[at + 4 : at + 8].decode()
        key = data[at + 8 : at + 8 + size].split(b"\0")[0].decode() if kind[1:] in ("EXt", "TXt") else ""
        found.append((kind, key))
        at += 12 + size
    return found


def chunk(kind, body):
    return len(body).to_bytes(4, "big") + kind + body + zlib.crc32(kind + body).to_bytes(4, "big")


def make():
    Image.linear_gradient("L").convert("RGB").rotate(30).save("plain.png")
    plain = Path("plain.png").read_bytes()
    texts = [chunk(b"tEXt", b"plain\0a lamp"), chunk(b"zTXt", b"packed\0\0" + zlib.compress(b"a lamp"))]
    texts += [chunk(b"iTXt", key + b"\0\0\0\0\0<a/>") for key in (b"wide", b"XML:com.adobe.xmp")]
    at = plain.index(b"IDAT") - 4
    Path("texts.png").write_bytes(plain[:at] + b"".join(texts) + chunk(b"caBX", b"a manifest") + plain[at:])


def show():
    pyvips.Image.new_from_file("texts.png").write_to_file("libvips.png")
    oxipng.optimize("texts.png", "oxipng.png")
    oxipng.optimize("texts.png", "oxipng-safe.png", strip=oxipng.StripChunks.safe())
    with Image.open("texts.png") as image:
        image.save("pillow.png")
    for name in ("texts", "imagemagick", "libvips", "sharp", "sharp-keep", "pillow", "oxipng", "oxipng-safe"):
        found = chunks(Path(f"{name}.png").read_bytes())
        kinds = [kind for kind, _ in found]
        ours = ("plain", "packed", "wide", "XML:com.adobe.xmp")
        words = [f"{kind}:{key}{' behind the pixels' * (at > kinds.index('IDAT'))}"
                 for at, (kind, key) in enumerate(found) if key in ours or kind == "caBX"]
        print(f"{name}: {', '.join(sorted(words)) or 'none'}")


make() if sys.argv[1] == "make" else show()
PYTHON
plain/bin/python show.py make
magick texts.png imagemagick.png
magick -version | head -1
node -e 'const open = require("sharp"); open("texts.png").toFile("sharp.png")'
node -e 'const open = require("sharp"); open("texts.png").keepMetadata().toFile("sharp-keep.png")'
plain/bin/python show.py show | tee found.txt
diff - found.txt << 'FOUND' || { echo "this has changed"; exit 1; }
texts: caBX:, iTXt:XML:com.adobe.xmp, iTXt:wide, tEXt:plain, zTXt:packed
imagemagick: tEXt:packed behind the pixels, tEXt:plain behind the pixels
libvips: zTXt:XML:com.adobe.xmp, zTXt:packed, zTXt:plain, zTXt:wide
sharp: none
sharp-keep: zTXt:XML:com.adobe.xmp, zTXt:packed, zTXt:plain, zTXt:wide
pillow: none
oxipng: caBX:, iTXt:XML:com.adobe.xmp, iTXt:wide, tEXt:plain, zTXt:packed
oxipng-safe: none
FOUND
