"""What is written into a delivered PNG is for other programs too, breaks no signature, and hides nothing of Krea's."""

import json
import shutil
import subprocess
import zlib
from io import BytesIO
from xml.etree import ElementTree

import pytest
from krea_server import picture
from PIL import Image, ImageCms

from krea_pipe.core.contract import SIZES
from krea_pipe.core.image_file import png_chunks, with_text

DC = "{http://purl.org/dc/elements/1.1/}"
RDF = "{http://www.w3.org/1999/02/22-rdf-syntax-ns#}"
IPTC = "{http://iptc.org/std/Iptc4xmpExt/2008-02-29/}"
SOURCE_TYPES = "http://cv.iptc.org/newscodes/digitalsourcetype/"
EARLIER = (
    '<?xpacket begin="\ufeff" id="W5M0MpCehiHzreSzNTczkc9d"?>'
    '<x:xmpmeta xmlns:x="adobe:ns:meta/"><rdf:RDF xmlns:rdf="http://www.w3.org/1999/02/22-rdf-syntax-ns#">'
    '<rdf:Description rdf:about="" xmlns:dc="http://purl.org/dc/elements/1.1/" '
    'xmlns:xmp="http://ns.adobe.com/xap/1.0/" xmp:CreatorTool="{software}"><dc:description><rdf:Alt>'
    '<rdf:li xml:lang="x-default">{description}</rdf:li></rdf:Alt></dc:description></rdf:Description></rdf:RDF>'
    '</x:xmpmeta><?xpacket end="w"?>'
)


def chunk(kind, body):
    return len(body).to_bytes(4, "big") + kind + body + zlib.crc32(kind + body).to_bytes(4, "big")


def sent(*chunks):
    """An image of Krea with more chunks behind its header."""
    plain = picture(seed="sea", size=SIZES["1:1"])
    return b"".join([plain[:33], *chunks, plain[33:]])


def delivered(project, krea, data, prompt="sea"):
    krea.image(data)
    project.pipeline([prompt])
    assert project.run("run", "p.yaml").code == 0
    return next(project.path.glob("out/p/*.png"))


def texts(file):
    with Image.open(file) as image:
        image.load()
        return dict(image.text)


def test_the_texts_have_standard_keys_and_one_of_our_own(project, krea):
    prompt = """a "lamp" & <oak> in Köln"""
    found = texts(delivered(project, krea, sent(), prompt))
    assert found.keys() == {"krea-pipe", "Description", "Software", "XML:com.adobe.xmp", "invokeai_metadata"}
    assert found["Description"] == prompt
    assert found["Software"].startswith("krea-pipe ")
    assert json.loads(found["krea-pipe"])["request"]["prompt"] == prompt
    packet = ElementTree.fromstring(found["XML:com.adobe.xmp"])
    assert [one.text for one in packet.findall(f".//{DC}description/{RDF}Alt/{RDF}li")] == [prompt]
    (described,) = packet.iter(f"{RDF}Description")
    assert described.get(f"{IPTC}DigitalSourceType") == f"{SOURCE_TYPES}trainedAlgorithmicMedia"
    assert described.findtext(f"{IPTC}AIPromptInformation") == f"{prompt}\nSeed: 1"


def test_the_xmp_of_a_proof_names_no_trained_model(project, krea):
    project.write("p.yaml", "version: 1\nprompt: sea\ndefaults: {seed: 7}\n")
    assert project.run("run", "p.yaml", "--local").code == 0
    found = texts(next(project.path.glob("proofs/p/*.png")))
    packet = ElementTree.fromstring(found["XML:com.adobe.xmp"])
    (described,) = packet.iter(f"{RDF}Description")
    assert described.findtext(f"{IPTC}AIPromptInformation") == "sea\nSeed: 7"
    assert described.get(f"{IPTC}DigitalSourceType") == f"{SOURCE_TYPES}algorithmicMedia"
    assert json.loads(found["invokeai_metadata"])["model"] == {"model_name": "local Krea"}


def as_earlier(data, found, packet):
    """A file of earlier versions: iTXt behind the header, in this order, and no generation data."""
    texts = {"krea-pipe": found["krea-pipe"], "Description": "a <lamp>", "Software": found["Software"]}
    texts |= {"XML:com.adobe.xmp": packet}
    chunks = [chunk(b"iTXt", key.encode() + b"\0\0\0\0\0" + text.encode()) for key, text in texts.items()]
    return b"".join([data[:33], *chunks, data[33:]])


@pytest.mark.parametrize("has_iptc", [False, True])
def test_a_file_of_earlier_versions_is_still_ours_and_keeps_its_bytes(project, krea, has_iptc):
    data = sent()
    file = delivered(project, krea, data, "a <lamp>")
    found = texts(file)
    bare = EARLIER.format(software=found["Software"], description="a &lt;lamp&gt;")
    packet = found["XML:com.adobe.xmp"] if has_iptc else bare
    file.write_bytes(earlier := as_earlier(data, found, packet))
    assert project.run("run", "p.yaml", "--json").json["in_the_way"] == []
    assert file.read_bytes() == earlier
    file.write_bytes(as_earlier(data, found, packet.replace("lamp", "camp")))
    assert project.run("run", "p.yaml", "--json").json["in_the_way"] == ["p/a-lamp"]


@pytest.mark.parametrize("prompt", ["a brass lamp", "Köln, 猫"])
def test_the_texts_have_the_forms_and_the_place_that_most_programs_read(project, krea, prompt):
    """Profile first, then XMP, which exifr sees only in the first 512 bytes; all before the pixels, as in Pillow."""
    icc = chunk(
        b"iCCP", b"sRGB\0\0" + zlib.compress(ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes())
    )
    file = delivered(project, krea, sent(icc), prompt)
    data = file.read_bytes()
    parts = [(one.kind, data[one.start + 8 : one.end].partition(b"\0")[0]) for one in png_chunks(data)]
    other = b"tEXt" if prompt.isascii() else b"iTXt"
    ours = [(b"iTXt", b"XML:com.adobe.xmp"), (other, b"Description"), (b"tEXt", b"Software")]
    ours += [(b"tEXt", b"invokeai_metadata"), (other, b"krea-pipe")]
    start = parts.index((b"iCCP", b"sRGB")) + 1
    assert parts[start : start + 5] == ours
    assert parts[start + 5][0] == b"IDAT"
    with Image.open(file) as image:  # not loaded
        assert image.info["Description"] == prompt


@pytest.mark.skipif(shutil.which("exiftool") is None, reason="needs exiftool")
@pytest.mark.parametrize("prompt", ["a brass lamp", "Köln, 猫"])
def test_exiftool_reads_the_prompt_in_every_form(project, krea, prompt):
    file = delivered(project, krea, sent(), prompt)
    words = ["-j", "-n", "-charset", "filename=utf8", "-G0", "-PNG:all", "-XMP:all"]
    done = subprocess.run(["exiftool", *words, file], capture_output=True, check=True, timeout=60)
    (found,) = json.loads(done.stdout)
    assert (found["PNG:Description"], found["XMP:Description"]) == (prompt, prompt)
    assert found["XMP:AIPromptInformation"] == f"{prompt}\nSeed: 1"
    assert found["XMP:DigitalSourceType"] == f"{SOURCE_TYPES}trainedAlgorithmicMedia"
    assert found["PNG:Software"] == found["XMP:CreatorTool"]
    assert json.loads(found["PNG:Invokeai_metadata"])["positive_prompt"] == prompt
    assert json.loads(found["PNG:Krea-pipe"])["request"]["prompt"] == prompt


def test_the_generation_data_has_what_its_readers_need(project, krea):
    file = delivered(project, krea, sent(), "a brass lamp")
    generation = json.loads(texts(file)["invokeai_metadata"])
    assert generation.pop("app_version").startswith("krea-pipe ")
    model = "Krea 2 medium"
    assert generation == {
        "positive_prompt": "a brass lamp",
        "negative_prompt": "",
        "seed": 1,
        "width": 1024,
        "height": 1024,
        "scheduler": model,
        "model": {"model_name": model},
    }


@pytest.mark.parametrize("key", ["prompt", "workflow", "parameters", "seed", "request"])
def test_no_text_has_a_key_that_image_generators_read_as_their_own(project, krea, key):
    assert key not in texts(delivered(project, krea, sent()))


@pytest.mark.parametrize(
    "vouched",
    [
        chunk(b"caBX", b"a manifest store"),
        chunk(b"dSIG", b"a signature"),
        chunk(b"iTXt", b"XML:com.adobe.xmp\0\0\0\0\0<x dcterms:provenance='https://krea.example/manifest'/>"),
    ],
    ids=["caBX", "dSIG", "XMP"],
)
def test_what_is_signed_is_delivered_byte_for_byte(project, krea, vouched):
    data = sent(vouched)
    file = delivered(project, krea, data)
    assert file.read_bytes() == data
    assert project.run("run", "p.yaml", "--json").rows["sea"]["reason"] == "cached"
    file.write_bytes(data[:-12] + chunk(b"tEXt", b"Rating\x005") + data[-12:])
    assert project.run("run", "p.yaml", "--json").json["in_the_way"] == ["p/sea"]


@pytest.mark.parametrize("key", [b"Description", b"Software", b"XML:com.adobe.xmp", b"invokeai_metadata"])
@pytest.mark.parametrize("form", [b"tEXt", b"zTXt", b"iTXt"])
def test_what_krea_wrote_is_the_only_text_of_its_key(project, krea, key, form):
    text = {b"tEXt": b"\0Krea", b"zTXt": b"\0\0" + zlib.compress(b"Krea"), b"iTXt": b"\0\0\0\0\0Krea"}[form]
    file = delivered(project, krea, sent(chunk(form, key + text)))
    assert texts(file)[key.decode()] == "Krea"
    assert file.read_bytes().count(key + b"\0") == 1
    assert "krea-pipe" in texts(file)


def test_texts_that_krea_wrote_stay_krea_s(project, krea):
    """They are a part of the image, even where they say the same as ours would."""
    data = with_text(sent(), {"Description": "sea", "prompt": "sea"})
    file = delivered(project, krea, data)
    project.run("run", "p.yaml")
    without = file.read_bytes().replace(data[33 : data.index(b"IDAT") - 4], b"")
    file.write_bytes(without)
    with Image.open(BytesIO(without)) as image:
        image.load()
    assert project.run("run", "p.yaml", "--json").json["in_the_way"] == ["p/sea"]
