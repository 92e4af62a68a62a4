"""What secrets look like, by kind: values of the forms that their makers document, and names of variables for them.

A pattern tells a secret by its beginning: it need not match all of it. Each is bounded, so that a text costs as much
time as it is long.
"""

import re
from functools import cache
from typing import NamedTuple

MASK = "***"
"""What stands in place of a secret."""


class Kind(NamedTuple):
    """A kind of secret, how its values look after a sign that is no letter or digit, and where that is documented."""

    name: str
    pattern: str
    source: str


_B64 = "[A-Za-z0-9+/]"
_WORD = "[A-Za-z0-9_-]"
_MIXED = rf"(?={_WORD}{{0,63}}[0-9])(?={_WORD}{{0,63}}[A-Za-z])"
_PASSWORD = r"[A-Za-z][A-Za-z0-9+.-]{1,20}://[^\s/@:?#]{0,200}:[^\s/@]{1,200}@"

KINDS = (
    Kind("Krea API token", rf"[0-9a-f]{{8}}(?:-[0-9a-f]{{4}}){{3}}-[0-9a-f]{{12}}:{_WORD}{{16}}", "docs.krea.ai"),
    Kind(
        "id and secret", rf"(?<![_-])(?=[A-Za-z_-]{{0,63}}[0-9]){_WORD}{{16,64}}:{_MIXED}{_WORD}{{24}}", "docs.fal.ai"
    ),
    Kind("AWS access key id", "(?:AKIA|ASIA|ABIA|ACCA)[0-9A-Z]{16}", "docs.aws.amazon.com: IAM identifiers"),
    Kind(
        "AWS secret access key",
        rf"(?<![/+=._-])(?={_B64}{{0,39}}[0-9])(?={_B64}{{0,39}}[A-Z])(?={_B64}{{0,39}}[a-z]){_B64}{{40}}"
        r"(?![A-Za-z0-9/+=_-]|\.\w)",
        "docs.aws.amazon.com: IAM access keys",
    ),
    Kind("secret key of OpenAI and others", rf"(?:sk|rk|pk)[-_]{_WORD}{{20}}", "platform.openai.com"),
    Kind("Stripe key", "(?:[sr]k_(?:live|test)|whsec)_[A-Za-z0-9]{10}", "docs.stripe.com/keys"),
    Kind("GitHub token", "gh[pousr]_[A-Za-z0-9]{20}|github_pat_[A-Za-z0-9_]{20}", "docs.github.com: token formats"),
    Kind("GitLab token", rf"gl[a-z]{{2,6}}-{_WORD}{{20}}|GR1348941{_WORD}{{20}}", "docs.gitlab.com/security/tokens"),
    Kind("Slack token", r"xox[a-z](?:\.xox[a-z])?-[A-Za-z0-9-]{10}|xapp-\d-[A-Za-z0-9-]{10}", "docs.slack.dev"),
    Kind(
        "address of a webhook",
        rf"hooks\.slack\.com/(?:services|workflows|triggers)/[A-Za-z0-9/_-]{{10}}"
        rf"|discord(?:app)?\.com/api/webhooks/\d+/{_WORD}{{20}}"
        r"|webhook\.office\.com/webhookb2/[A-Za-z0-9-]{20}",
        "docs.slack.dev/messaging/sending-messages-using-incoming-webhooks",
    ),
    Kind("Discord token", rf"[MNO]{_WORD}{{23,27}}\.{_WORD}{{6}}\.{_WORD}{{27}}", "discord.com/developers"),
    Kind(
        "Google key",
        rf"AIza{_WORD}{{30}}|ya29\.{_WORD}{{20}}|GOCSPX-{_WORD}{{20}}|1//0{_WORD}{{30}}",
        "cloud.google.com/docs/authentication",
    ),
    Kind(
        "token of a package registry",
        rf"npm_[A-Za-z0-9]{{30}}|pypi-{_WORD}{{30}}|rubygems_[0-9a-f]{{40}}",
        "docs.npmjs.com",
    ),
    Kind(
        "token of a model host",
        "hf_[A-Za-z0-9]{20}|r8_[A-Za-z0-9]{20}|gsk_[A-Za-z0-9]{30}|xai-[A-Za-z0-9]{30}",
        "hf.co/docs",
    ),
    Kind(
        "JSON web token",
        rf"(?<![_-])eyJ{_WORD}{{8,500}}\.{_WORD}{{8,500}}\.{_WORD}{{4}}|eyJ[A-Za-z0-9]{{4}}iOi{_WORD}{{1,500}}\.eyJ{_WORD}{{4}}",
        "RFC 7519",
    ),
    Kind("private key", r"-----BEGIN [A-Z0-9 ]{0,40}PRIVATE KEY|AGE-SECRET-KEY-1[A-Z0-9]{20}", "RFC 7468"),
    Kind("address with a password", _PASSWORD, "RFC 3986, 3.2.1"),
    Kind(
        "Azure key",
        rf"(?:AccountKey|SharedAccessKey)={_B64}{{20}}|SharedAccessSignature[= ]\S{{20}}|sig=[A-Za-z0-9%+/_-]{{20}}"
        r"|[A-Za-z0-9_~.-]{3}8Q~[A-Za-z0-9_~.-]{31}",
        "learn.microsoft.com/azure/storage",
    ),
    Kind(
        "mail service key",
        rf"SG\.{_WORD}{{16,64}}\.{_WORD}{{16}}|key-[0-9a-z]{{32}}|[0-9a-f]{{32}}-us\d",
        "www.twilio.com/docs/sendgrid",
    ),
    Kind("Twilio key", "(?:SK|AC)[0-9a-f]{32}", "www.twilio.com/docs/iam/api-keys"),
    Kind("DigitalOcean token", "do[opr]_v1_[0-9a-f]{20}", "docs.digitalocean.com"),
    Kind("Telegram bot token", rf"[0-9]{{8,10}}:{_WORD}{{35}}", "core.telegram.org/bots"),
    Kind(
        "token of another service",
        rf"shp(?:at|ca|pa|ss)_[0-9a-fA-F]{{20}}|dckr_pat_{_WORD}{{20}}|hv[sbr]\.{_WORD}{{20}}|dapi[0-9a-f]{{32}}"
        rf"|gl(?:sa|c)_{_WORD}{{20}}|figd_{_WORD}{{20}}|lin_api_[A-Za-z0-9]{{20}}|(?:ntn|secret)_[A-Za-z0-9]{{40}}"
        rf"|PMAK-[0-9a-f]{{20}}|tskey-{_WORD}{{20}}|sbp_[0-9a-f]{{20}}|sntry[su]_{_WORD}{{20}}|ATATT3x{_WORD}{{20}}"
        rf"|xkeysib-[0-9a-f]{{40}}|NRAK-[A-Z0-9]{{20}}|(?:nfp|vcp|fw|pcsk)_{_WORD}{{20}}|dp\.[a-z]{{2,5}}\.{_WORD}{{20}}"
        rf"|ATBB{_WORD}{{20}}|CCIP[A-Z]T_{_WORD}{{20}}|pscale_[a-z]{{2,5}}_{_WORD}{{20}}|lsv2_[a-z]{{2}}_{_WORD}{{20}}"
        rf"|tvly-{_WORD}{{20}}|AQ\.Ab{_WORD}{{20}}|sl\.{_WORD}{{60}}|fm[12]_{_WORD}{{20}}|bk[a-z]{{2}}_[0-9a-f]{{30}}"
        rf"|pat[A-Za-z0-9]{{14}}\.[0-9a-f]{{40}}|[sp]k\.eyJ{_WORD}{{20}}|PuTTY-User-Key-File-\d|hooks\.zapier\.com/hooks/\w"
        rf"|sq0[a-z]{{3}}-{_WORD}{{20}}|EAAA{_WORD}{{40}}|pplx-[A-Za-z0-9]{{20}}|[A-Za-z0-9]{{14}}\.atlasv1\.{_WORD}{{20}}",
        "the documentation of each",
    ),
    Kind(
        "value of a header",
        r"[Bb](?:earer|EARER)\s{1,9}(?=[\w.~+/=-]{0,200}\d)[\w.~+/=-]{16}|Bearer\s{1,9}[\w.~+/=-]{16}"
        rf"|[Bb]asic\s{{1,9}}(?={_B64}{{0,200}}[0-9=]){_B64}{{16}}",
        "RFC 6750, RFC 7617",
    ),
    Kind(
        "value after its name",
        r"(?i:secret|token|password|passwd|api[_-]?key|access[_-]?key|private[_-]?key)[\"']?\s{0,3}[:=]\s{0,3}[\"']?"
        r"(?=[\w+/=.~-]{0,80}[0-9])(?=[\w+/=.~-]{0,80}[A-Za-z])[\w+/=.~-]{16}",
        "the usual form of files of settings",
    ),
)

_SAYS_SECRET = re.compile(
    r"SECRET|TOKEN|PASSWORD|PASSWD|PASSPHRASE|PASSCODE|CREDENTIAL|MNEMONIC|COOKIE|KEY|AUTHORI[SZ]ATION|AUTHENTICATION"
    r"|(?:AUTH|PASS)$|^(?:AUTH[NZ]|CREDS?|BEARER|JW[TK]S?|PAT|PWD)$"
)
_ORDINARY = re.compile(
    r"(?:MON|DON|TUR|HOC|WHIS|JOC|LAC|MIC|HIC|DIC|FLUN|SMO|LOW|TURN|LATCH|HOT)KEYS?|SECRETAR(?:Y|IES|IAT)|TOKENI[SZ]\w*"
    r"|KEY(?:BOARD|WORD|NOTE|FRAME|STONE|HOLE|PAD|STROKE|PRESS|LIGHT|COLOU?R|LIME|CLOAK)\w*|(?:COM|BY|SUR|TRES|OVER|UNDER)PASS"
)
_WORKING_FOLDER = frozenset({"PWD", "OLDPWD"})
_SHORTEST = 15
_WORDS = re.compile(rf"[^\s\"'{{}}\[\](),;<>]{{{_SHORTEST},}}")
_DATA_URI = re.compile(r"data:[\w.+-]+/[\w.+-]+;base64,[A-Za-z0-9+/=\s]*", re.ASCII)
_BEFORE_A_SPACE = ("bearer", "basic", "private key", "secret", "token", "passw", "key", "signature")


def is_secret(text: str) -> bool:
    """Whether a text holds what looks like a secret."""
    if len(text) < _SHORTEST or (text.startswith("data:") and _DATA_URI.fullmatch(text)):
        return False
    low, kinds = text.lower(), _any_kind()
    if any(word in low for word in _BEFORE_A_SPACE):
        return kinds.search(text) is not None
    return any(kinds.search(run) for run in re.findall(rf"\S{{{_SHORTEST},}}", text))


def holds_password(text: str) -> bool:
    """Whether a text is the address of something with a user's name and password."""
    return re.match(_PASSWORD, text) is not None


def says_secret(name: str) -> bool:
    """Whether a variable's name says that its value is a secret: by one of its words, told by `_`, digits and case."""
    words = [word.upper() for word in re.findall(r"[A-Z]+(?![a-z])|[A-Z]?[a-z]+", name)]
    found = (word for word in words if _SAYS_SECRET.search(word) and not _ORDINARY.fullmatch(word))
    return name not in _WORKING_FOLDER and any(found)


def without_secrets(text: str) -> str:
    """A text with `***` for the words that look like secrets, or for all of it."""
    if not is_secret(text):
        return text
    clean = _WORDS.sub(lambda word: MASK if is_secret(word[0]) else word[0], text)
    return MASK if is_secret(clean) else clean


@cache
def _any_kind() -> re.Pattern[str]:
    return re.compile("(?<![A-Za-z0-9])(?:" + "|".join(kind.pattern for kind in KINDS) + ")")
