"""Signs a PNG with Content Credentials: python sign_image.py FROM TO. The certificate is made here and trusted nowhere.

Needs the extra `readers`, and cryptography.
"""

import sys
from datetime import UTC, datetime, timedelta

import c2pa
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

ACTION = {"action": "c2pa.created", "digitalSourceType": "http://c2pa.org/digitalsourcetype/empty"}
MANIFEST = {
    "claim_generator_info": [{"name": "a test", "version": "1"}],
    "assertions": [{"label": "c2pa.actions.v2", "data": {"actions": [ACTION]}}],
}
USES = ("digital_signature", "content_commitment", "key_encipherment", "data_encipherment", "key_agreement")
USES += ("key_cert_sign", "crl_sign", "encipher_only", "decipher_only")


def named(name):
    parts = ((NameOID.COMMON_NAME, name), (NameOID.ORGANIZATION_NAME, "a test"))
    return x509.Name([x509.NameAttribute(oid, text) for oid, text in parts])


def certificate(name, key, issuer_key, *, is_root):
    """C2PA wants one that is issued by another and made for signing."""
    now, use = datetime.now(UTC), "key_cert_sign" if is_root else "digital_signature"
    made = x509.CertificateBuilder(named("root"), named(name), key.public_key(), x509.random_serial_number())
    made = made.not_valid_before(now - timedelta(days=1)).not_valid_after(now + timedelta(days=1))
    issuer = x509.AuthorityKeyIdentifier.from_issuer_public_key(issuer_key.public_key())
    made = made.add_extension(x509.BasicConstraints(is_root, None), critical=True).add_extension(issuer, critical=False)
    made = made.add_extension(x509.KeyUsage(**{one: one == use for one in USES}), critical=True)
    purpose = x509.ExtendedKeyUsage([ExtendedKeyUsageOID.EMAIL_PROTECTION])
    made = made if is_root else made.add_extension(purpose, critical=False)
    return made.sign(issuer_key, hashes.SHA256()).public_bytes(serialization.Encoding.PEM)


def sign(source, target):
    root, leaf = (ec.generate_private_key(ec.SECP256R1()) for _ in range(2))
    chain = certificate("leaf", leaf, root, is_root=False) + certificate("root", root, root, is_root=True)
    forms = (serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    info = c2pa.C2paSignerInfo(alg=b"es256", sign_cert=chain, private_key=leaf.private_bytes(*forms), ta_url=None)
    with open(source, "rb") as plain, open(target, "w+b") as signed:  # noqa: PTH123 - c2pa wants streams
        c2pa.Builder(MANIFEST).sign(c2pa.Signer.from_info(info), "image/png", plain, signed)


if __name__ == "__main__":
    sign(*sys.argv[1:])
