"""A certificate authority for tests, by openssl, and what it vouches for; shared by all checks over TLS."""

import os
import pathlib
import shutil
import ssl
import subprocess

from verdict import Trouble

# Of less than 60, scanners complain.
DAYS = 90


def openssl(*arguments, stdin=b"", binary=False):
    """Its standard output."""
    program = shutil.which("openssl")
    if not program:
        raise Trouble("no openssl found; apt-get install openssl")
    done = subprocess.run([program, *map(str, arguments)], input=stdin, capture_output=True, timeout=60, check=False)
    if done.returncode:
        raise Trouble(f"openssl {arguments[0]} failed: {done.stderr.decode(errors='replace')}")
    return done.stdout if binary else done.stdout.decode()


def new_key(kind):
    options = ["-algorithm", "EC", "-pkeyopt", "ec_paramgen_curve:P-256"] if kind == "ec" else [
        "-algorithm", "RSA", "-pkeyopt", "rsa_keygen_bits:2048"]
    return openssl("genpkey", *options)


class Authority:
    """Issues certificates into a folder, where its own is `ca.pem`."""

    def __init__(self, folder):
        self.folder = pathlib.Path(folder)
        self.certificate, self.key = self.folder / "ca.pem", self.folder / "ca.key"
        self.key.write_text(new_key("ec"))
        openssl("req", "-x509", "-new", "-key", self.key, "-out", self.certificate, "-days", DAYS,
                "-subj", "/CN=authority of tests", "-addext", "basicConstraints=critical,CA:TRUE",
                "-addext", "keyUsage=critical,keyCertSign,cRLSign")

    def issue(self, name, hosts, kind="ec"):
        """Writes `name`.pem and `name`.key for these hosts, new ones each time; returns both paths."""
        certificate, key = self.folder / f"{name}.pem", self.folder / f"{name}.key"
        names = ",".join(f"{'IP' if host[0].isdigit() else 'DNS'}:{host}" for host in hosts)
        extensions = self.folder / f"{name}.extensions"
        extensions.write_text(f"subjectAltName={names}\nbasicConstraints=critical,CA:FALSE\n"
                              "keyUsage=critical,digitalSignature\nextendedKeyUsage=serverAuth\n"
                              "authorityKeyIdentifier=keyid\nsubjectKeyIdentifier=hash\n")
        key.write_text(new_key(kind))
        request = openssl("req", "-new", "-key", key, "-subj", f"/CN={hosts[0]}")
        issued = openssl("x509", "-req", "-CA", self.certificate, "-CAkey", self.key, "-days", DAYS,
                         "-set_serial", f"0x7f{os.urandom(15).hex()}", "-extfile", extensions,
                         stdin=request.encode())
        certificate.write_text(issued)
        return certificate, key

    def context(self):
        """Of a client that trusts nobody else."""
        return ssl.create_default_context(cafile=str(self.certificate))


def fingerprint(certificate):
    """Of a certificate in PEM, as openssl writes it."""
    return openssl("x509", "-noout", "-fingerprint", "-sha256", stdin=certificate.encode()).strip()
