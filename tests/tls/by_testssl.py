"""TLS of `aerys serve` as testssl.sh judges it, and what it does not judge but reports."""

import json
import shutil
import subprocess

from common import Server, Trouble, expect, part

SECONDS = 300
# Left out: -e and -E, each of 370 suites alone (-s, -f and -P have tried them in groups, and say all that is
# offered); -c, what clients of old would agree on (it follows from that); -g, faults of servers that differ
# by the length of a handshake message (tests/server splits them everywhere).
CHECKS = ("--protocols", "--std", "--fs", "--server-preference", "--server-defaults", "--headers", "--vulnerable")
GRAVE = {"MEDIUM", "HIGH", "CRITICAL", "FATAL", "WARN"}
# What may be grave all the same. Of several certificates, a row's id has the number of its own behind it.
LET_THROUGH = {
    "cert_revocation": "an authority that lives for one test publishes no list of what it revoked",
    "security_headers": "fields of HTTP are the application's",
    "engine_problem": "Debian's openssl has no GOST",
    "sessionresumption_ticket": "of 1.3 it leaves before it has a ticket, depending on the moment; the part"
                                " openssl resumes sessions",
}
# How the finding has to begin, by the row's id, which is not the same in all releases.
WANTED = {
    "SSLv2": "not offered", "SSLv3": "not offered", "TLS1": "not offered", "TLS1_1": "not offered",
    "TLS1_2": "offered", "TLS1_3": "offered with final", "ALPN_HTTP2": "h2", "ALPN": "http/1.1",
    "cipherlist_NULL": "not offered", "cipherlist_aNULL": "not offered", "cipherlist_EXPORT": "not offered",
    "cipherlist_LOW": "not offered", "cipherlist_3DES_IDEA": "not offered",
    "cipherlist_AVERAGE cipherlist_OBSOLETED": "not offered",
    "cipherlist_STRONG cipherlist_STRONG_FS": "offered", "PFS FS": "offered", "cipher_order": "server",
    "cert_numbers": "2", "cert_trust <cert#1>": "Ok via SAN", "cert_trust <cert#2>": "Ok via SAN",
    "cert_chain_of_trust <cert#1>": "passed", "cert_chain_of_trust <cert#2>": "passed",
    "secure_renego": "supported", "secure_client_renego": "not vulnerable", "RC4": "not vulnerable",
}


def scan(program, log, authority, certificates):
    testssl = shutil.which("testssl") or shutil.which("testssl.sh")
    if not testssl:
        raise Trouble("no testssl found; apt-get install testssl.sh")
    found, said = authority.folder / "testssl.json", log.with_name("testssl.log")
    options = [option for certificate, key in certificates.values()
               for option in ("--tls-cert", certificate, "--tls-key", key)]
    with Server(program, log, *options, "--log-level", "warn") as server, said.open("w") as output:
        command = [testssl, *CHECKS, "--ip", "127.0.0.1", "--nodns", "none", "--add-ca", authority.certificate,
                   "--warnings", "off", "--color", "0", "--quiet", "--connect-timeout", "5",
                   "--openssl-timeout", "5", "--jsonfile", found, f"https://localhost:{server.port}"]
        try:
            subprocess.run(command, stdin=subprocess.DEVNULL, stdout=output, stderr=subprocess.STDOUT,
                           timeout=SECONDS, check=False)
        except subprocess.TimeoutExpired as error:
            raise Trouble(f"testssl took more than {SECONDS} s; see {said}") from error
    try:
        return json.loads(found.read_text())
    except (OSError, ValueError) as error:
        raise Trouble(f"testssl reported nothing: {error}; see {said}") from error


def judge(rows):
    """What was let through, and what is wrong."""
    let_through, wrong = set(), []
    for row in rows:
        name = row["id"].split(" ")[0]
        if row["severity"] not in GRAVE:
            continue
        if name in LET_THROUGH:
            let_through.add(name)
        else:
            wrong.append(f"{row['id']}: {row['severity']}: {row['finding']}")
    findings = {row["id"]: row["finding"] for row in rows}
    for name, wanted in WANTED.items():
        names = [name] if "<" in name else name.split()
        found = [findings[each] for each in names if each in findings]
        if not any(finding.startswith(wanted) for finding in found):
            wrong.append(f"{name}: {found} instead of {wanted!r}")
    return let_through, wrong


def run(program, log, authority, certificates):
    with part("testssl.sh"):
        rows = scan(program, log, authority, certificates)
    let_through, wrong = judge(rows)
    for name in sorted(let_through):
        print(f"  let through: {name}: {LET_THROUGH[name]}")
    for line in wrong:
        print(f"  WRONG {line}")
    expect(not wrong, f"testssl.sh found {len(wrong)} things among {len(rows)}; see {log.with_name('testssl.log')}")
    print(f"testssl.sh: {len(rows)} findings, none above LOW but those")
