"""Records of the shared store: whoever may write to the bucket can neither forge nor move one that is signed."""

import json
import os
from datetime import UTC, datetime

import pytest

from krea_pipe.store.remote.bucket import open_bucket
from krea_pipe.store.remote.claims import Claims
from krea_pipe.store.remote.numbered_log import NumberedLog
from krea_pipe.store.remote.record import MOST_BYTES, BadRecord, Seal

NAME = "results/k"
DATA = {"sha256": "0" * 64, "cost_usd": "0.03", "é": [1, None, {"a": "\u2028"}]}
SIGNED = Seal("0123456789abcdef")


def changed(text, **fields):
    return json.dumps({**json.loads(text), **fields}).encode()


def test_a_record_reads_as_it_was_written():
    assert SIGNED.decode(NAME, SIGNED.encode(NAME, DATA)) == DATA
    assert Seal().decode(NAME, Seal().encode(NAME, DATA)) == DATA
    assert Seal().decode(NAME, SIGNED.encode(NAME, DATA)) == DATA  # a home without the secret reads it as well
    laid_out = json.dumps(json.loads(SIGNED.encode(NAME, DATA)), indent=2, sort_keys=True).encode()
    assert SIGNED.decode(NAME, laid_out) == DATA


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        (Seal().encode(NAME, DATA), "is not signed"),
        (Seal("fedcba9876543210").encode(NAME, DATA), "is signed with another secret"),
        (SIGNED.encode("results/other", DATA), "is signed with another secret"),
        (changed(SIGNED.encode(NAME, DATA), data={**DATA, "cost_usd": "0"}), "is signed with another secret"),
        (changed(SIGNED.encode(NAME, DATA), signature=None), "is not signed"),
        (changed(SIGNED.encode(NAME, DATA), signature=["0"]), "is not signed"),
        (changed(SIGNED.encode(NAME, DATA), signature="\u00e9"), "is signed with another secret"),
        (SIGNED.encode(NAME, {"x": "y" * MOST_BYTES}), "is not a krea-pipe record"),
        *((text, "is not a krea-pipe record") for text in (b"", b"{}", b"[1]", b"\xff", b'{"data": 1}', b"[" * 99_999)),
    ],
)
def test_a_record_that_was_forged_moved_or_cut_is_refused_with_its_name(text, reason):
    with pytest.raises(BadRecord, match=f"^{NAME} {reason}$"):
        SIGNED.decode(NAME, text)


def test_requests_without_a_result_are_found_unless_their_last_claim_is_too_old(tmp_path):
    """A rule of the bucket may delete results: what is left of them is not read for each lost answer."""
    claims = Claims(open_bucket(tmp_path.as_uri(), {}), SIGNED, "run", "account")
    for key, numbers in (("a", 3), ("b", 2), ("c", 1)):
        for number in range(1, numbers + 1):
            file = tmp_path / "claims" / (key * 64) / f"{number:04}"
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_text("{}")
            os.utime(file, (number, number) if key != "b" else (100, 100))
    (tmp_path / "results").mkdir()
    (tmp_path / "results" / ("c" * 64)).write_text("{}")
    assert claims.scan(None).open == {"a" * 64: 3, "b" * 64: 2}
    assert claims.scan(datetime.fromtimestamp(50, UTC)).open == {"b" * 64: 2}


def test_a_log_has_one_event_for_a_number_and_shows_those_that_cannot_be_believed(tmp_path):
    log = NumberedLog(open_bucket(tmp_path.as_uri(), {}), SIGNED)
    assert log.append("claims/k", 1, {"who": "first"})
    assert not log.append("claims/k", 1, {"who": "first"})  # the same words of another writer
    (tmp_path / "claims/k/0002").write_bytes(Seal().encode("claims/k/0002", {"who": "forger"}))
    assert log.append("claims/k", 3, {"who": "third"})
    assert log.append("claims/k", 5, {"who": "after a gap"})
    found = log.read_after("claims/k", 0)
    assert [(event.number, event.data and event.data["who"]) for event in found] == [
        (1, "first"),
        (2, None),
        (3, "third"),
    ]
    assert found[1].reason == "claims/k/0002 is not signed"
    assert [event.number for event in log.read_after("claims/k", 2)] == [3]
