"""TLS of `aerys serve` as openssl's s_client and Python's sockets see it."""

import os
import re
import shutil
import signal
import socket
import subprocess

from authority import fingerprint, openssl
from common import TIMEOUT, Server, Trouble, connect, expect, part, read_to_end, wait_until

REQUEST = b"GET / HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n"
# OpenSSL itself refuses old versions unless it is told not to.
OLD = ("-cipher", "DEFAULT:@SECLEVEL=0")
RECONNECTS = 5


def s_client(server, *options, name="localhost", request=REQUEST, stays=True):
    """All that it prints about one connection, on which it asks for the page."""
    command = ["openssl", "s_client", "-connect", f"127.0.0.1:{server.port}", "-servername", name,
               *(["-ign_eof"] if stays else []), *map(str, options)]
    done = subprocess.run(command, input=request, capture_output=True, timeout=3 * TIMEOUT, check=False)
    return (done.stdout + done.stderr).decode(errors="replace")


def shown(server, name="localhost", *options):
    """The certificate that a client of this name is shown, in PEM."""
    said = s_client(server, *options, name=name)
    found = re.search(r"-----BEGIN CERTIFICATE-----.*?-----END CERTIFICATE-----\n", said, re.DOTALL)
    expect(found, f"no certificate was shown to {name}: {said}")
    return found[0]


def expect_page(said, what):
    expect("HTTP/1.1 200 OK" in said and "</html>" in said, f"{what}: no page came: {said}")


def versions(server, authority):
    judging = ("-CAfile", authority.certificate, "-verify_return_error", "-verify_hostname", "localhost")
    for option, version in (("-tls1_2", "TLSv1.2"), ("-tls1_3", "TLSv1.3")):
        said = s_client(server, option, *judging)
        expect_page(said, version)
        expect("Verify return code: 0 (ok)" in said, f"{version}: not verified: {said}")
        expect(re.search(rf"^New, {re.escape(version)}, Cipher is ", said, re.MULTILINE), f"not {version}: {said}")
    for option in ("-tls1", "-tls1_1"):
        said = s_client(server, option, *OLD)
        # A client so old does not say which signatures it can judge, and that is missed first.
        refused = "alert protocol version" in said or "alert handshake failure" in said
        expect(refused and "Cipher is (NONE)" in said, f"{option} was not refused by an alert: {said}")
    said = s_client(server, "-tls1_2", "-cipher", "AES256-SHA:AES128-GCM-SHA256:ECDHE-RSA-AES128-SHA")
    expect("alert handshake failure" in said, f"a weak cipher was not refused by an alert: {said}")


def order(server):
    """The server's counts, whatever the client likes best."""
    suites = ["ECDHE-ECDSA-CHACHA20-POLY1305", "ECDHE-ECDSA-AES128-GCM-SHA256", "ECDHE-ECDSA-AES256-GCM-SHA384"]
    for liked in (suites, suites[::-1]):
        said = s_client(server, "-tls1_2", "-cipher", ":".join(liked))
        expect(f"Cipher is {suites[-1]}\n" in said, f"of {liked} another than {suites[-1]} was taken: {said}")
    suites = ["TLS_CHACHA20_POLY1305_SHA256", "TLS_AES_128_GCM_SHA256", "TLS_AES_256_GCM_SHA384"]
    for liked in (suites, suites[::-1]):
        said = s_client(server, "-tls1_3", "-ciphersuites", ":".join(liked))
        expect(f"Cipher is {suites[-1]}\n" in said, f"of {liked} another than {suites[-1]} was taken: {said}")


def protocols(server):
    """RFC 7301."""
    for offer, agreed in (("h2,http/1.1", "h2"), ("http/1.1,h2", "h2"), ("http/1.1", "http/1.1"),
                          ("spdy/3,http/1.1", "http/1.1")):
        said = s_client(server, "-alpn", offer, stays=False, request=b"")
        expect(f"ALPN protocol: {agreed}\n" in said, f"{offer} was offered, not {agreed} agreed on: {said}")
    expect_page(s_client(server, "-alpn", "http/1.1"), "by ALPN http/1.1")
    said = s_client(server)
    expect("No ALPN negotiated" in said, f"none was offered, and one was agreed on: {said}")
    expect_page(said, "without ALPN")
    said = s_client(server, "-alpn", "spdy/3")
    expect("alert no application protocol" in said, f"spdy/3 was not refused by an alert: {said}")


def resumption(server, folder):
    said = s_client(server, "-tls1_2", "-reconnect")
    reused = said.count("Reused, TLSv1.2, ")
    expect(reused == RECONNECTS, f"TLS 1.2: {reused} of {RECONNECTS} sessions were resumed: {said}")
    session = folder / "session"
    for version in ("1.2", "1.3"):
        option = f"-tls{version.replace('.', '_')}"
        said = s_client(server, option, "-sess_out", session)
        expect(f"New, TLSv{version}, " in said, f"TLS {version}: not new: {said}")
        said = s_client(server, option, "-sess_in", session)
        expect(f"Reused, TLSv{version}, " in said, f"TLS {version}: not resumed: {said}")
        expect_page(said, f"resumed, TLS {version}")
    text = openssl("sess_id", "-in", session, "-noout", "-text")
    expect("Max Early Data: 0\n" in text or "Max Early Data" not in text, f"early data is invited: {text}")


def with_early_data(session):
    """A session in DER, as if its ticket had invited 16 KiB of early data."""
    assert session[:2] == b"\x30\x82", "a SEQUENCE of more than 255 bytes"
    body, at = session[4:], 0
    # Fields are in the order of their tags, and what is invited has number 15.
    while at < len(body) and body[at] < 0xaf:
        length_bytes = body[at + 1] & 0x7f if body[at + 1] & 0x80 else 0
        length = int.from_bytes(body[at + 2:at + 2 + length_bytes], "big") if length_bytes else body[at + 1]
        at += 2 + length_bytes + length
    if body[at:at + 1] != b"\xaf":
        body = body[:at] + bytes.fromhex("af04 0202 4000") + body[at:]
    return b"\x30\x82" + len(body).to_bytes(2, "big") + body


def early_data(server, folder):
    """A client that sends some uninvited: what is in it never becomes a request (RFC 8446 section 8)."""
    session, early = folder / "session", folder / "early"
    s_client(server, "-tls1_3", "-sess_out", session)
    der = with_early_data(openssl("sess_id", "-in", session, "-outform", "der", binary=True))
    session.write_text(openssl("sess_id", "-inform", "der", stdin=der))
    early.write_bytes(b"GET /early HTTP/1.1\r\nHost: localhost\r\n\r\n")
    said = s_client(server, "-tls1_3", "-sess_in", session, "-early_data", early)
    expect("Early data was rejected" in said, f"early data was not rejected: {said}")
    expect_page(said, "after early data")
    expect(said.count("HTTP/1.1 ") == 1, f"early data was answered: {said}")


def names(server, certificates):
    """RFC 6066 section 3: `certificates` by the name that each is for, the first being for all others."""
    first = next(iter(certificates.values()))
    wanted = {**certificates, "LocalHost": first, "b.example.org": certificates["a.example.org"],
              "a.b.example.org": first, "elsewhere.test": first}
    for name, (certificate, _) in wanted.items():
        expect(fingerprint(shown(server, name)) == fingerprint(certificate.read_text()),
               f"{name} was shown the certificate of another")


def keys(server, by_algorithm):
    """Of two certificates for one name, the one whose key the client can judge."""
    for algorithms, (certificate, _) in by_algorithm.items():
        for version in ("-tls1_2", "-tls1_3"):
            came = shown(server, "localhost", "-sigalgs", algorithms, version)
            expect(fingerprint(came) == fingerprint(certificate.read_text()),
                   f"{algorithms}, {version}: not the certificate of that key")


def get(client):
    """One request of a connection that stays."""
    client.sendall(b"GET /nothing HTTP/1.1\r\nHost: localhost\r\n\r\n")
    head = b""
    while b"\r\n\r\n" not in head:
        piece = client.recv(1 << 16)
        expect(piece, "the connection ended")
        head += piece
    head, rest = head.split(b"\r\n\r\n", 1)
    length = int(re.search(rb"(?i)content-length: (\d+)", head)[1])
    while len(rest) < length:
        rest += client.recv(1 << 16)
    expect(head.startswith(b"HTTP/1.1 404 ") and len(rest) == length, f"answered with {head}")


def open_websocket(client):
    key = b"dGhlIHNhbXBsZSBub25jZQ=="
    client.sendall(b"GET /echo HTTP/1.1\r\nHost: localhost\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n"
                   b"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: " + key + b"\r\n\r\n")
    head = b""
    while not head.endswith(b"\r\n\r\n"):
        piece = client.recv(1)
        expect(piece, f"the opening handshake broke off behind {head}")
        head += piece
    expect(b" 101 " in head and b"s3pPLMBiTxaQ9kYGzzhZRbK+xOo=" in head, f"no WebSocket: {head}")


def echo(client):
    client.sendall(b"\x81\x85\x37\xfa\x21\x3d\x7f\x9f\x4d\x51\x58")
    came = b""
    while len(came) < 7:
        piece = client.recv(7 - len(came))
        expect(piece, "the WebSocket ended")
        came += piece
    expect(came == b"\x81\x05Hello", f"echoed {came}")


def reload(server, authority):
    """SIGHUP: who connects is shown the new certificate, who is connected is not disturbed."""
    old = fingerprint(shown(server))
    with connect(server, authority.context()) as kept, connect(server, authority.context()) as websocket:
        get(kept)
        open_websocket(websocket)
        echo(websocket)
        certificate, key = authority.issue("localhost", ["localhost"])
        new = fingerprint(certificate.read_text())
        expect(fingerprint(shown(server)) == old, "the new certificate was shown before it was asked for")
        server.process.send_signal(signal.SIGHUP)
        wait_until("the new certificate is shown", lambda: fingerprint(shown(server)) == new)
        get(kept)
        echo(websocket)
        # Now one that is none.
        good = key.read_text()
        key.write_text("-----BEGIN PRIVATE KEY-----\nnothing\n-----END PRIVATE KEY-----\n")
        server.process.send_signal(signal.SIGHUP)
        wait_until("what is wrong is logged", lambda: "certificates stay as they were" in server.said())
        expect(fingerprint(shown(server)) == new, "a key that is none changed what is shown")
        key.write_text(good)
        get(kept)
        echo(websocket)


def plain(server):
    with connect(server) as client:
        client.sendall(b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n")
        answer = read_to_end(client)
    expect(answer.startswith(b"HTTP/1.1 400 "), f"plain HTTP was answered with {answer}")
    expect(b"\x15\x03" not in answer, f"an alert came with the answer: {answer}")


def garbage(server):
    with connect(server) as client:
        client.sendall(b"\x00" * 64)
        answer = read_to_end(client)
    expect(answer[:3] == b"\x15\x03\x03" and len(answer) == 7, f"garbage was answered with {answer}")


def self_signed(program, log):
    with Server(program, log, "--tls-self-signed") as server:
        printed = server.lines[-1]
        came = shown(server)
        expect(printed == fingerprint(came), f"{printed} was printed, {fingerprint(came)} is the fingerprint")
        text = openssl("x509", "-noout", "-ext", "subjectAltName", stdin=came.encode())
        for name in ("DNS:localhost", "IP Address:127.0.0.1", "IP Address:0:0:0:0:0:0:0:1"):
            expect(name in text, f"it is not for {name}: {text}")
        openssl("x509", "-noout", "-checkend", 80 * 24 * 3600, stdin=came.encode())
        other = Server(program, log, "--tls-self-signed")
        with other:
            expect(other.lines[-1] != printed, "another start made the same certificate")


def redirection(program, log, authority, certificates):
    curl = shutil.which("curl")
    if not curl:
        raise Trouble("no curl found; apt-get install curl")
    certificate, key = certificates
    with Server(program, log, "--tls-cert", certificate, "--tls-key", key,
                "--tls-redirect", "127.0.0.1:0") as server:
        found = [line for line in server.lines if line.startswith("http://127.0.0.1:")]
        expect(len(found) == 1, f"no address of plain HTTP among {server.lines}")
        port = found[0].rstrip("/").rsplit(":", 1)[1]
        asked = [curl, "--silent", "--show-error", "--max-time", str(TIMEOUT), "--cacert", authority.certificate,
                 "--resolve", f"localhost:{port}:127.0.0.1", "--resolve", f"localhost:{server.port}:127.0.0.1"]
        path = "/nothing?a=b%20c"
        head = subprocess.run([*asked, "--include", f"http://localhost:{port}{path}"], capture_output=True,
                              text=True, timeout=2 * TIMEOUT, check=True).stdout
        expect(re.match(r"HTTP/1\.1 30[18] ", head), f"no redirection: {head}")
        expect(f"\nlocation: https://localhost:{server.port}{path}\n" in head.replace("\r", "").lower(), head)
        end = subprocess.run([*asked, "--location", "--output", os.devnull, "--write-out",
                              "%{http_code} %{scheme} %{num_redirects}", f"http://localhost:{port}/"],
                             capture_output=True, text=True, timeout=2 * TIMEOUT, check=True).stdout
        expect(end.lower() == "200 https 1", f"followed, it ends with {end}")


def run(program, log, authority, certificates):
    folder = authority.folder
    ec, rsa = certificates["ec"], certificates["rsa"]
    with Server(program, log, "--tls-cert", ec[0], "--tls-key", ec[1], "--tls-cert", rsa[0], "--tls-key", rsa[1],
                "--log-level", "info") as server:
        with part("versions: 1.2 and 1.3, verified; 1.0, 1.1 and weak ciphers are refused"):
            versions(server, authority)
        with part("ciphers in the server's order"):
            order(server)
        with part("ALPN: h2, http/1.1 or neither"):
            protocols(server)
        with part("resumption in 1.2 and 1.3"):
            resumption(server, folder)
        with part("early data is rejected"):
            early_data(server, folder)
        with part("ECDSA and RSA, by what the client judges"):
            keys(server, {"ECDSA+SHA256": ec, "RSA-PSS+SHA256": rsa})
        with part("plain HTTP is told so, garbage is alerted"):
            plain(server)
            garbage(server)
    named = {"localhost": authority.issue("localhost", ["localhost"]),
             "a.example.org": authority.issue("wildcard", ["*.example.org"]),
             "exact.example.org": authority.issue("exact", ["exact.example.org"], "rsa")}
    options = [option for certificate, key in named.values()
               for option in ("--tls-cert", certificate, "--tls-key", key)]
    with Server(program, log, *options, "--log-level", "info") as server:
        with part("the certificate for the name"):
            names(server, named)
        with part("SIGHUP: new certificates, old connections"):
            reload(server, authority)
    with part("self-signed: the fingerprint"):
        self_signed(program, log)
    with part("redirection"):
        redirection(program, log, authority, ec)
