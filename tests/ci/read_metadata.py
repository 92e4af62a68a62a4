"""Prints what other programs read of images: python read_metadata.py IMAGE.... Needs the extra `readers`, and node."""

import json
import re
import subprocess
import sys
from functools import cache
from pathlib import Path

import c2pa
import comfyui_frontend_package
from sd_parsers import ParserManager

COMFYUI = r"""
const data = require("fs").readFileSync(process.argv[1])
const buffer = data.buffer.slice(data.byteOffset, data.byteOffset + data.length)
getFromPngBuffer(buffer).then(found => console.log(JSON.stringify(found)))
"""
OPENED = re.compile(r"\{workflow:\w+,prompt:\w+,parameters:\w+,templates:\w+\}=await getWorkflowDataFromFile")
"""An image with one of these texts is opened as a graph, or refused; any other one becomes a `LoadImage` node."""


@cache
def comfyui_script():
    """The part of the front end that opens files."""
    assets = Path(comfyui_frontend_package.__file__).parent / "static/assets"
    scripts = (file.read_text() for file in assets.glob("*.js"))
    script = next(text for text in scripts if "async function getFromPngBuffer" in text)
    assert OPENED.search(script), "ComfyUI opens files in another way"
    return script


def of_comfyui(image):
    """All texts that the front end finds, by its own code."""
    script = comfyui_script()
    code = script[script.index("async function decompressZlib") : script.index("async function getFromPngFile")]
    done = subprocess.run(["node", "-e", code + COMFYUI, image], capture_output=True, check=True, text=True, timeout=60)
    return json.loads(done.stdout)


def of_sd_parsers(image):
    found = ParserManager().parse(image)
    return found and [[one.prompts[0].value, one.parameters.get("seed")] for one in found.samplers]


def of_c2pa(image):
    try:
        with c2pa.Reader(image) as reader:
            return json.loads(reader.json())["validation_state"]
    except c2pa.C2paError as error:
        return str(error)


if __name__ == "__main__":
    readers = {"comfyui": of_comfyui, "sd_parsers": of_sd_parsers, "c2pa": of_c2pa}
    print(json.dumps({image: {name: read(image) for name, read in readers.items()} for image in sys.argv[1:]}))
