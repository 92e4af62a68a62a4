"""XMP packets: the metadata of an image in the form that image programs and photo archives read."""

import html
import re
from collections.abc import Mapping
from dataclasses import dataclass, field

_NOT_IN_XML = re.compile("[\0-\x08\x0b\x0c\x0e-\x1f\ud800-\udfff\ufffe\uffff]")
"""Named by what XML lacks: the opposite, all that it has, takes ten times as long to compile."""
_SOURCE_TYPES = "http://cv.iptc.org/newscodes/digitalsourcetype/"
_PACKET = (
    '<?xpacket begin="\ufeff" id="W5M0MpCehiHzreSzNTczkc9d"?>'
    '<x:xmpmeta xmlns:x="adobe:ns:meta/"><rdf:RDF xmlns:rdf="http://www.w3.org/1999/02/22-rdf-syntax-ns#">'
    '<rdf:Description rdf:about="" xmlns:dc="http://purl.org/dc/elements/1.1/" '
    'xmlns:xmp="http://ns.adobe.com/xap/1.0/" xmlns:Iptc4xmpExt="http://iptc.org/std/Iptc4xmpExt/2008-02-29/"'
    "{attributes}><dc:description><rdf:Alt>"
    '<rdf:li xml:lang="x-default">{description}</rdf:li></rdf:Alt></dc:description>'
    "<Iptc4xmpExt:AIPromptInformation>{prompt}</Iptc4xmpExt:AIPromptInformation></rdf:Description></rdf:RDF>"
    '</x:xmpmeta><?xpacket end="w"?>'
)


@dataclass(frozen=True, slots=True)
class XmpFields:
    """The contents of an XMP packet.

    Args:
        software: the name and the version of the program that writes it.
        prompt: the prompt of the image.
        seed: the seed of the request, None if it has none.
        is_proof: whether the local Krea drew the image, without a trained model.
        stars: 1 to 5, None if nobody has rated the image.
        more: further attributes, with the declarations of their name spaces.
    """

    software: str
    prompt: str
    seed: object = None
    is_proof: bool = False
    stars: int | None = None
    more: Mapping[str, str] = field(default_factory=dict)


def xmp_packet(fields: XmpFields) -> str:
    """An XMP packet, for a text of a PNG or for a file beside an image.

    `DigitalSourceType` and `AIPromptInformation` are properties of the IPTC Photo Metadata Standard. The seed is the
    last line of `AIPromptInformation`, because no standard has a property for it.
    """
    kind = "algorithmicMedia" if fields.is_proof else "trainedAlgorithmicMedia"
    attributes = {"xmp:CreatorTool": fields.software, "Iptc4xmpExt:DigitalSourceType": _SOURCE_TYPES + kind}
    if fields.stars is not None:
        attributes["xmp:Rating"] = str(fields.stars)
    attributes |= fields.more
    prompt = fields.prompt if fields.seed is None else f"{fields.prompt}\nSeed: {fields.seed}"
    return _PACKET.format(
        attributes="".join(f' {name}="{xml_text(text)}"' for name, text in attributes.items()),
        description=xml_text(fields.prompt),
        prompt=xml_text(prompt),
    )


def xml_text(text: str) -> str:
    """A text as XML has it, in an element or an attribute; what XML cannot have is replaced."""
    return html.escape(_NOT_IN_XML.sub("\ufffd", text))
