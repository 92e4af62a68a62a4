#!/usr/bin/env bash
# One would guess: `exifr.parse("lamp.png", …)` finds the same in a file as `exifr.parse(fs.readFileSync("lamp.png"), …)`.
# What happens: by its path, exifr reads the first 512 bytes of a PNG. A chunk that begins in them is read whole; what
#   begins behind them is not found, and nothing says so: texts of a kilobyte behind the header hide the colour profile
#   and the XMP.
# Versions: exifr 7.1.3, Node 20. Seen on 2026-12-01.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"

npm install --silent --no-audit --no-fund exifr@7.1.3 > /dev/null

cat > show.mjs << 'JAVASCRIPT'
import exifr from "exifr/dist/full.esm.mjs"
import fs from "fs"
import zlib from "zlib"

const chunk = (kind, body) => {
  const data = Buffer.concat([Buffer.from(kind), body])
  const [size, sum] = [Buffer.alloc(4), Buffer.alloc(4)]
  size.writeUInt32BE(body.length)
  sum.writeUInt32BE(crc(data))
  return Buffer.concat([size, data, sum])
}
const crc = data => {
  let sum = ~0
  for (const byte of data) {
    sum ^= byte
    for (let bit = 0; bit < 8; bit++) sum = sum & 1 ? (sum >>> 1) ^ 0xedb88320 : sum >>> 1
  }
  return ~sum >>> 0
}
const head = Buffer.from("00000001000000010802000000", "hex")
const packet = '<x:xmpmeta xmlns:x="adobe:ns:meta/"><rdf:RDF xmlns:rdf="http://www.w3.org/1999/02/22-rdf-syntax-ns#">' +
  '<rdf:Description rdf:about="" xmlns:xmp="http://ns.adobe.com/xap/1.0/" xmp:CreatorTool="a tool"/></rdf:RDF></x:xmpmeta>'
const xmp = chunk("iTXt", Buffer.from("XML:com.adobe.xmp\0\0\0\0\0" + packet))
const text = chunk("tEXt", Buffer.from("Description\0" + "a lamp ".repeat(150)))
const rest = [chunk("IDAT", zlib.deflateSync(Buffer.alloc(4))), chunk("IEND", Buffer.alloc(0))]
const png = parts => Buffer.concat([Buffer.from("89504e470d0a1a0a", "hex"), chunk("IHDR", head), ...parts, ...rest])
fs.writeFileSync("xmp-first.png", png([xmp, text]))
fs.writeFileSync("text-first.png", png([text, xmp]))

let asSeen = true
for (const [name, expected] of [["xmp-first.png", "a tool"], ["text-first.png", undefined]]) {
  const path = (await exifr.parse(name, {xmp: true}))?.CreatorTool
  const buffer = (await exifr.parse(fs.readFileSync(name), {xmp: true}))?.CreatorTool
  console.log(`${name}: by its path ${path}, from its bytes ${buffer}`)
  asSeen &&= path === expected && buffer === "a tool"
}
process.exit(asSeen ? 0 : 1)
JAVASCRIPT
node show.mjs || { echo "this has changed"; exit 1; }
