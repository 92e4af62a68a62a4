#!/usr/bin/env bash
# One would guess: Content Credentials sign the picture, so that a text that is added to a PNG afterwards, without a
#   change of any pixel, leaves them valid.
# What happens: they cover all bytes of a PNG but their own chunk. A text that is added after signing makes them Invalid
#   wherever it is, behind the pixels too; with the text written first and the file signed then, they are Valid.
# Versions: c2pa-python 0.38.1, Pillow 13.0.0, cryptography 50.0.2. Seen on 2026-12-01.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"

python3 -m venv plain
plain/bin/pip install --quiet --disable-pip-version-check c2pa-python==0.38.1 pillow==13.0.0 cryptography==50.0.2 \
  2> /dev/null

cat > show.py << 'PYTHON'
import io
import json
import sys
import zlib
from datetime import UTC, datetime, timedelta

import c2pa
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID
from PIL import Image

USES = ("digital_signature", "content_commitment", "key_encipherment", "data_encipherment", "key_agreement")
USES += ("key_cert_sign", "crl_sign", "encipher_only", "decipher_only")


def named(name):
    parts = ((NameOID.COMMON_NAME, name), (NameOID.ORGANIZATION_NAME, "a test"))
    return x509.Name([x509.NameAttribute(oid, text) for oid, text in parts])


def certificate(name, key, issuer_key, is_root):
    now, use = datetime.now(UTC), "key_cert_sign" if is_root else "digital_signature"
    made = x509.CertificateBuilder(named("root"), named(name), key.public_key(), x509.random_serial_number())
    made = made.not_valid_before(now - timedelta(days=1)).not_valid_after(now + timedelta(days=1))
    issuer = x509.AuthorityKeyIdentifier.from_issuer_public_key(issuer_key.public_key())
    made = made.add_extension(x509.BasicConstraints(is_root, None), critical=True).add_extension(issuer, critical=False)
    made = made.add_extension(x509.KeyUsage(**{one: one == use for one in USES}), critical=True)
    purpose = x509.ExtendedKeyUsage([ExtendedKeyUsageOID.EMAIL_PROTECTION])
    made = made if is_root else made.add_extension(purpose, critical=False)
    return made.sign(issuer_key, hashes.SHA256()).public_bytes(serialization.Encoding.PEM)


root, leaf = ec.generate_private_key(ec.SECP256R1()), ec.generate_private_key(ec.SECP256R1())
chain = certificate("leaf", leaf, root, False) + certificate("root", root, root, True)
key = leaf.private_bytes(
    serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
)
signer = c2pa.Signer.from_info(c2pa.C2paSignerInfo(alg=b"es256", sign_cert=chain, private_key=key, ta_url=None))
action = {"action": "c2pa.created", "digitalSourceType": "http://c2pa.org/digitalsourcetype/empty"}
manifest = {
    "claim_generator_info": [{"name": "a test", "version": "1"}],
    "assertions": [{"label": "c2pa.actions.v2", "data": {"actions": [action]}}],
}


def signed(png):
    out = io.BytesIO()
    c2pa.Builder(manifest).sign(signer, "image/png", io.BytesIO(png), out)
    return out.getvalue()


def with_text(png, at):
    body = b"tEXtDescription\0a lamp"
    text = (len(body) - 4).to_bytes(4, "big") + body + zlib.crc32(body).to_bytes(4, "big")
    return png[:at] + text + png[at:]


buffer = io.BytesIO()
Image.new("RGB", (64, 64), "teal").save(buffer, "PNG")
plain = buffer.getvalue()
done = signed(plain)
files = {
    "signed": done,
    "text before the pixels, then signed": signed(with_text(plain, plain.index(b"IDAT") - 4)),
    "signed, then text behind the header": with_text(done, 33),
    "signed, then text before the pixels": with_text(done, done.index(b"IDAT") - 4),
    "signed, then text behind the pixels": with_text(done, len(done) - 12),
}
found = []
for name, data in files.items():
    found.append(json.loads(c2pa.Reader("image/png", io.BytesIO(data)).json())["validation_state"])
    print(f"{name}: {found[-1]}")
sys.exit(0 if found == ["Valid", "Valid", "Invalid", "Invalid", "Invalid"] else 1)
PYTHON
plain/bin/python show.py || { echo "this has changed"; exit 1; }
