#!/usr/bin/env bash
# One would guess: a generated PNG that has its prompt as a text `prompt`, or as the text `parameters` of AUTOMATIC1111,
#   is opened by every program that reads prompts of images.
# What happens: ComfyUI takes a PNG without such texts for a picture, and makes a node that loads it. It refuses a PNG
#   with any text `prompt` that is not a graph as JSON, or any text `parameters` without a line `Steps:`. SD Prompt Reader
#   raises TypeError on a sentence under `prompt`, and takes the settings in such `parameters` for a part of the prompt.
#   sd-parsers shows nothing of `parameters` without `Sampler` and two more settings of that program. Both read the JSON
#   that InvokeAI writes as `invokeai_metadata`, which ComfyUI ignores.
# Versions: comfyui-frontend-package 1.58.1, sd-prompt-reader 1.3.5, sd-parsers 0.6, Node 20. Seen on 2026-12-01.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"

python3 -m venv plain
plain/bin/pip install --quiet --disable-pip-version-check pillow==13.0.0 sd-parsers==0.6 piexif==1.1.3 2> /dev/null
# Without the packages of its window, which a reader does not need.
plain/bin/pip install --quiet --disable-pip-version-check --no-deps sd-prompt-reader==1.3.5 \
  comfyui-frontend-package==1.58.1 2> /dev/null

# The code of ComfyUI that opens a file, as it is shipped; what it calls only says that it was called.
cat > open.js << 'JAVASCRIPT'
const fs = require("fs")
const script = fs.readFileSync(process.argv[2], "utf8")
const between = (start, end) => script.slice(script.indexOf(start), script.indexOf(end, script.indexOf(start)))
const code = between("async function decompressZlib", "async function getFromPngFile") +
  between("function normalizeA1111Parameters", "async function importA1111") +
  between("async function importA1111", "window.comfyAPI") +
  "const app={" + between("async handleFile(", "async handleMeshFile(") + "}"
const run = new Function("getWorkflowDataFromFile", "said", `
  var Gr = "\\nNegative prompt:", O = () => ({}), parseJsonWithNonFinite = JSON.parse, pasteImageNode = async () => {}
  var pasteAudioNode, pasteVideoNode, createNode = async (_, name) => said("makes a node " + name)
  var DataTransfer = class { items = {add() {}} }
  ${code}
  app.isApiJson = () => false
  app.enqueueGraphLoad = load => load()
  app.showErrorOnFileLoad = () => said("refuses the file")
  return {app, getFromPngBuffer}`)
console.error = () => {}
const main = async () => {
  for (const name of process.argv.slice(3)) {
    const said = []
    const found = run(async () => {
      const {workflow, prompt, parameters} = await found.getFromPngBuffer(new Uint8Array(fs.readFileSync(name)).buffer)
      return {workflow, prompt, parameters}
    }, word => { said.push(word) })
    await found.app.handleFile({name, type: "image/png"})
    console.log(`ComfyUI, ${name}: ${said.join(", ")}`)
  }
}
main()
JAVASCRIPT

cat > make.py << 'PYTHON'
import json

from PIL import Image
from PIL.PngImagePlugin import PngInfo

settings = "Sampler: some, Schedule type: some, Seed: 7"
invokeai = {"positive_prompt": "a lamp", "negative_prompt": "", "seed": 7, "scheduler": "some", "model": {}}
for name, texts in {
    "plain": {},
    "prompt": {"prompt": "a lamp"},
    "parameters": {"parameters": "a lamp\nSeed: 7"},
    "sampler": {"parameters": f"a lamp\n{settings}"},
    "invokeai": {"invokeai_metadata": json.dumps(invokeai)},
}.items():
    info = PngInfo()
    for key, text in texts.items():
        info.add_text(key, text)
    Image.new("RGB", (8, 8), "teal").save(f"{name}.png", pnginfo=info)
PYTHON

cat > read.py << 'PYTHON'
import logging
import sys

from sd_parsers import ParserManager
from sd_prompt_reader.image_data_reader import ImageDataReader

logging.disable(logging.CRITICAL)
for name in sys.argv[1:]:
    try:
        with open(name, "rb") as file:
            found = ImageDataReader(file)
            print(f"SD Prompt Reader, {name}: {found.positive!r}, seed {(found.parameter['seed'] or '').strip() or 'none'}")
    except (ValueError, TypeError) as error:
        print(f"SD Prompt Reader, {name}: {type(error).__name__}")
    found = ParserManager().parse(name)
    print(f"sd-parsers, {name}: {found and [one.value for one in found.prompts]}")
PYTHON

plain/bin/python make.py
files=(plain.png prompt.png parameters.png sampler.png invokeai.png)
script=$(grep -l 'async function getFromPngBuffer' plain/lib/python3*/site-packages/comfyui_frontend_package/static/assets/*.js)
{ node open.js "$script" "${files[@]}"; plain/bin/python read.py "${files[@]}"; } | tee found.txt
diff - found.txt << 'FOUND' || { echo "this has changed"; exit 1; }
ComfyUI, plain.png: makes a node LoadImage
ComfyUI, prompt.png: refuses the file
ComfyUI, parameters.png: refuses the file
ComfyUI, sampler.png: refuses the file
ComfyUI, invokeai.png: makes a node LoadImage
SD Prompt Reader, plain.png: '', seed none
sd-parsers, plain.png: None
SD Prompt Reader, prompt.png: TypeError
sd-parsers, prompt.png: None
SD Prompt Reader, parameters.png: 'a lamp\nSeed: 7', seed none
sd-parsers, parameters.png: None
SD Prompt Reader, sampler.png: 'a lamp\nSampler: some, Schedule type: some, Seed: 7', seed none
sd-parsers, sampler.png: ['a lamp']
SD Prompt Reader, invokeai.png: 'a lamp', seed 7
sd-parsers, invokeai.png: ['a lamp']
FOUND
