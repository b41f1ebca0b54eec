"""What takes the files of the pages: the program itself, and those that they are for."""

import json
import os
import re
import subprocess

from trouble import Wrong


def run(arguments, **options):
    done = subprocess.run(arguments, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
                          text=True, timeout=60, check=False, **options)
    if done.returncode:
        raise Wrong(f"{' '.join(map(str, arguments))}: {done.stdout}")
    return done.stdout


def certificate(folder, name, cert, key):
    run(["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-days", "2",
         "-subj", f"/CN={name}", "-addext", f"subjectAltName=DNS:{name}",
         "-addext", "basicConstraints=critical,CA:FALSE", "-keyout", key, "-out", cert], cwd=folder)


def configuration(program, path):
    run([program, "check", path.name], cwd=path.parent)


def nginx(folder, text):
    """The file that says that nginx serves, and how it is started with a part of its configuration."""
    if not re.search(r"^(http|server|upstream|map) ", text, re.MULTILINE):
        text = f"server {{ listen 80;\n{text}}}\n"
    # Where the page's files are not those of a whole machine.
    config = folder / "nginx.conf"
    pid = folder / "nginx.pid"
    # Its workers would be nobody, who may not use the sockets of who runs this.
    user = "user root;" if os.geteuid() == 0 else ""
    config.write_text(f"""{user}
daemon off;
pid {pid};
error_log {folder}/nginx.log;
events {{ }}
http {{
access_log off;
{text}}}
""")
    arguments = ["nginx", "-p", str(folder), "-c", str(config)]
    run([*arguments, "-t"])
    pid.unlink(missing_ok=True)  # an empty one is what trying leaves
    return pid, arguments


def haproxy(path):
    run(["haproxy", "-c", "-f", str(path)])


def json_lines(text):
    for line in text.splitlines():
        try:
            json.loads(line)
        except ValueError as error:
            raise Wrong(f"'{line}': {error}") from error


def prometheus(path):
    run(["promtool", "check", "config", str(path)])


def logrotate(path):
    path.chmod(0o644)  # it takes no file that others may write to
    said = run(["logrotate", "--debug", "--state", str(path.with_suffix(".state")), str(path)])
    # What it does not know it passes over, and says so.
    if "error:" in said:
        raise Wrong(f"logrotate --debug: {said}")


def systemd(root, folder, text):
    """What is to be changed in the service, and with it the units."""
    units = folder / "units"
    (units / "aerys.service.d").mkdir(parents=True, exist_ok=True)
    files = {name: (root / "docs" / "systemd" / name).read_text() for name in ("aerys.service", "aerys.socket")}
    files["aerys.service.d/page.conf"] = text
    for name, content in files.items():
        # The program need not be installed to judge the unit.
        (units / name).write_text(content.replace("/usr/local/bin/aerys", str(folder / ".bin" / "aerys")))
    said = run(["systemd-analyze", "verify", *(str(units / name) for name in files if "/" not in name)])
    # It takes what it does not know, and says so; what it says of the machine's own units is not ours.
    if str(units) in said or "aerys" in said:
        raise Wrong(f"systemd-analyze verify: {said}")


def javascript(folder, text):
    path = folder / "block.mjs"
    path.write_text(text)
    run(["node", "--check", str(path)])
