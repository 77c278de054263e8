"""`watari pki`: what it writes, as OpenSSL's own program judges it."""
import datetime
import json
import os
import re
import stat
import subprocess

import pytest

from storekit import BUILD


def watari(*words, status=0):
    done = subprocess.run([BUILD / "watari", "pki", *map(str, words)], text=True,
                          capture_output=True)
    assert done.returncode == status, done.stderr
    assert "PRIVATE" not in done.stdout + done.stderr
    return done.stdout if status == 0 else done.stderr


def openssl(*words):
    done = subprocess.run(["openssl", *map(str, words)], text=True, capture_output=True)
    return done.returncode, done.stdout + done.stderr


def verify(pki, certificate, *options):
    return openssl("verify", "-x509_strict", *options, "-CAfile", pki / "ca.crt", certificate)


def text_of(certificate):
    return openssl("x509", "-in", certificate, "-noout", "-text")[1]


def contents(folder):
    return {p.name: p.read_bytes() for p in folder.iterdir()}


@pytest.fixture(name="pki")
def fixture_pki(tmp_path):
    folder = tmp_path / "pki"
    assert str(folder / "ca.crt") in watari("init", folder)
    return folder


def test_files(pki):
    watari("issue", pki, "h1")
    assert sorted(contents(pki)) == ["ca.crt", "ca.key", "h1.crt", "h1.key"]
    modes = {p.name: stat.S_IMODE(p.stat().st_mode) for p in pki.iterdir()}
    assert modes == {"ca.key": 0o600, "ca.crt": 0o644, "h1.key": 0o600, "h1.crt": 0o644}
    assert stat.S_IMODE(pki.stat().st_mode) == 0o700


def test_modes_do_not_depend_on_umask(tmp_path):
    old = os.umask(0)
    try:
        watari("init", tmp_path / "pki")
    finally:
        os.umask(old)
    assert stat.S_IMODE((tmp_path / "pki/ca.key").stat().st_mode) == 0o600
    assert stat.S_IMODE((tmp_path / "pki").stat().st_mode) == 0o700


def test_authority(pki):
    text = text_of(pki / "ca.crt")
    assert re.search(r"Basic Constraints: critical\s+CA:TRUE, pathlen:0", text)
    assert re.search(r"Key Usage: critical\s+Certificate Sign, CRL Sign", text)
    assert verify(pki, pki / "ca.crt")[0] == 0


def test_certificate(pki):
    watari("issue", pki, "h1")
    certificate = pki / "h1.crt"
    for purpose in "sslclient", "sslserver":
        assert verify(pki, certificate, "-purpose", purpose)[0] == 0
    assert verify(pki, certificate, "-verify_hostname", "h1")[0] == 0
    assert verify(pki, certificate, "-verify_hostname", "h2")[0] != 0
    assert openssl("x509", "-in", certificate, "-noout", "-subject")[1].strip() \
        == "subject=CN = h1"
    text = text_of(certificate)
    assert re.search(r"Basic Constraints: critical\s+CA:FALSE", text)
    assert "DNS:h1" in text
    public = openssl("pkey", "-in", pki / "h1.key", "-pubout")
    assert public[0] == 0
    assert public[1] == openssl("x509", "-in", certificate, "-noout", "-pubkey")[1]


def test_validity(pki):
    watari("issue", pki, "h1", "--days", 7)
    certificate = pki / "h1.crt"

    def at(**shift):
        moment = datetime.datetime.now() + datetime.timedelta(**shift)
        return verify(pki, certificate, "-attime", int(moment.timestamp()))

    assert at(minutes=-1)[0] == 0       # Of a host whose clock is late.
    assert at(days=6, hours=23)[0] == 0
    status, text = at(days=7, minutes=1)
    assert status != 0 and "expired" in text
    assert at(hours=-1)[0] != 0


def test_foreign(pki, tmp_path):
    other = tmp_path / "other"
    watari("init", other)
    watari("issue", other, "h1")
    assert verify(pki, other / "h1.crt")[0] != 0
    assert verify(other, other / "h1.crt")[0] == 0


def test_certificate_cannot_sign(pki, tmp_path):
    """A host's key makes no certificate that anybody believes."""
    watari("issue", pki, "h1")
    request, forged = tmp_path / "csr", tmp_path / "forged.crt"
    assert openssl("req", "-newkey", "ed25519", "-nodes", "-subj", "/CN=h2", "-keyout",
                   tmp_path / "key", "-out", request)[0] == 0
    assert openssl("x509", "-req", "-in", request, "-CA", pki / "h1.crt", "-CAkey",
                   pki / "h1.key", "-CAcreateserial", "-out", forged)[0] == 0
    assert verify(pki, forged, "-untrusted", pki / "h1.crt")[0] != 0


def test_authority_is_never_replaced(pki):
    before = contents(pki)
    assert "never replaced" in watari("init", pki, status=1)
    assert contents(pki) == before
    (pki / "ca.crt").unlink()
    before = contents(pki)
    assert "never replaced" in watari("init", pki, status=1)
    assert contents(pki) == before


def test_issue_once(pki):
    watari("issue", pki, "h1")
    before = contents(pki)
    assert "pki rotate" in watari("issue", pki, "h1", status=1)
    assert contents(pki) == before


def test_rotate(pki):
    watari("issue", pki, "h1")
    before = contents(pki)
    watari("rotate", pki, "h1", "--days=30")
    after = contents(pki)
    assert before.keys() == after.keys()
    for name in before:
        assert (before[name] == after[name]) == name.startswith("ca."), name
    assert verify(pki, pki / "h1.crt")[0] == 0
    assert stat.S_IMODE((pki / "h1.key").stat().st_mode) == 0o600
    serials = [text_of_serial(data) for data in (before["h1.crt"], after["h1.crt"])]
    assert serials[0] != serials[1]
    assert "pki issue" in watari("rotate", pki, "h2", status=1)


def text_of_serial(pem):
    return subprocess.run(["openssl", "x509", "-noout", "-serial"], input=pem,
                          capture_output=True, check=True).stdout


def test_rotate_repairs_what_a_crash_left(pki):
    watari("issue", pki, "h1")
    (pki / "h1.crt").unlink()
    watari("rotate", pki, "h1")
    assert verify(pki, pki / "h1.crt")[0] == 0


@pytest.mark.parametrize("name", ["", "ca", "../h1", "a b", ".h", "h/1", "x" * 64, "h\n", "-"])
def test_bad_names(pki, name):
    before = contents(pki)
    assert watari("issue", "--", pki, name, status=1)
    assert contents(pki) == before


@pytest.mark.parametrize("days", ["0", "-1", "3651", "x", ""])
def test_bad_days(pki, days):
    assert "expected 1 to 3650" in watari("issue", pki, "h1", f"--days={days}", status=2)
    assert not (pki / "h1.crt").exists()


def test_not_longer_than_the_authority(pki):
    assert "itself expires in 3649 days" in watari("issue", pki, "h1", "--days=3650", status=1)
    watari("issue", pki, "h1", "--days=3649")


def test_no_authority(tmp_path):
    assert "pki init" in watari("issue", tmp_path, "h1", status=1)
    assert not list(tmp_path.iterdir())


def test_foreign_key(pki, tmp_path):
    """Somebody copied one file of two."""
    watari("init", tmp_path / "other")
    (pki / "ca.crt").write_bytes((tmp_path / "other/ca.crt").read_bytes())
    assert "is not the key of" in watari("issue", pki, "h1", status=1)
    assert not (pki / "h1.key").exists()


def test_open_key(pki):
    (pki / "ca.key").chmod(0o644)
    assert "chmod 600" in watari("issue", pki, "h1", status=1)


def test_open_folder(tmp_path):
    tmp_path.chmod(0o777)
    assert "others can write" in watari("init", tmp_path, status=1)
    assert not list(tmp_path.iterdir())


def test_broken_certificate(pki):
    (pki / "ca.crt").write_text("nonsense\n")
    assert "ca.crt" in watari("issue", pki, "h1", status=1)
    assert "ca.crt" in watari("show", pki, status=1)


def test_passphrase_is_not_asked_for(pki):
    key = pki / "ca.key"
    assert openssl("pkey", "-in", key, "-aes128", "-passout", "pass:word", "-out",
                   pki / "new")[0] == 0
    (pki / "new").rename(key)
    key.chmod(0o600)
    assert "ca.key" in watari("issue", pki, "h1", status=1)


def test_show(pki):
    watari("issue", pki, "h1", "--days=29")
    watari("issue", pki, "h2")
    rows = {row["name"]: row for row in json.loads(watari("show", pki, "-o", "json"))}
    ca = next(name for name in rows if name.startswith("Watari CA "))
    assert rows.keys() == {ca, "h1", "h2"}
    assert rows["h1"]["state"] == "expires-soon" and rows["h1"]["days"] in (28, 29)
    assert rows["h2"]["state"] == rows[ca]["state"] == "good"
    assert {row["issuer"] for row in rows.values()} == {ca}
    digest = openssl("x509", "-in", pki / "h1.crt", "-noout", "-fingerprint", "-sha256")[1]
    assert digest.split("=")[1].strip().replace(":", "").lower() == rows["h1"]["sha256"]
    for words in (pki, "h1"), (pki / "h1.crt",):
        one, = json.loads(watari("show", *words, "-o", "json"))
        assert one["sha256"] == rows["h1"]["sha256"]
    assert "expires-soon" in watari("show", pki)
    assert "h3.crt" in watari("show", pki, "h3", status=1)
