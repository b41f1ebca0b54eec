"""A page: its blocks, and what is done with each."""

import collections
import re
import shutil
import subprocess

import tools
from commands import Commands, Server
from trouble import Trouble, Wrong  # noqa: F401

Block = collections.namedtuple("Block", "line language text")

# A comment that is the name of a file, in the languages that blocks are in.
NAME = re.compile(r"(?://|#|<!--) (\S*\w\.\w+)(?: -->)?")


def blocks(text):
    language, begin, lines = None, 0, []
    for number, line in enumerate(text.splitlines(), 1):
        if not line.lstrip().startswith("```"):
            lines.append(line)
        elif language is None:
            language, begin, lines = line.strip().removeprefix("```"), number, []
        else:
            yield Block(begin, language, "".join(f"{line}\n" for line in lines))
            language = None


def prepare(root, folder):
    """The files that pages presuppose: those of a site, a certificate, the file of
    docs/configuration.md, and the clone beside."""
    public = folder / "public"
    public.mkdir(parents=True)
    for name in ("index.html", "app.html", "404.html"):
        (public / name).write_text(f"<!doctype html><title>{name}</title>\n")
    tools.certificate(folder, "localhost", "cert.pem", "key.pem")
    page = blocks((root / "docs" / "configuration.md").read_text())
    (folder / "aerys").symlink_to(root)
    (folder / "aerys.toml").write_text(next(block.text for block in page if block.language == "toml"))


class Page:
    """One page, in a folder that is empty at first."""

    def __init__(self, root, name, program):
        self.name, self.root = name, root
        self.text = (root / name).read_text()
        self.counts = collections.Counter()
        # The same for all pages, so that Cargo finds the clone beside it where it was, and builds it once.
        self.folder = root / "target" / "docs" / "page"
        self.servers = []
        self.commands = None
        self.program = program
        self.not_run = set()

    def walk(self):
        by_name = ("text", "rust", "rust,no_run")
        tried = [block for block in blocks(self.text) if block.language not in by_name or NAME.match(block.text)]
        if not tried:
            return
        shutil.rmtree(self.folder, ignore_errors=True)
        prepare(self.root, self.folder)
        self.commands = Commands(self)
        for block in tried:
            try:
                self.take(block)
            except (Wrong, subprocess.TimeoutExpired) as error:
                raise Wrong(f"{self.name}:{block.line}: {error}") from error
        try:
            self.stop_servers()
        except Wrong as error:
            raise Wrong(f"{self.name}: {error}") from error

    def take(self, block):
        path = self.write(block)
        # What is said of a kind of block in `run`.
        if block.language in ("sh", "console"):
            self.counts["commands"] += self.commands.run(block)
            return
        self.counts["files" if path else block.language] += 1
        match block.language:
            case "toml" if not path or path.name != "Cargo.toml":
                tools.configuration(self.program, path or self.write(block, "block.toml"))
            case "nginx":
                file, arguments = tools.nginx(self.folder, block.text)
                self.servers.append(Server(arguments, self.folder, self.commands.environment, file))
            case "haproxy":
                tools.haproxy(self.write(block, "haproxy.cfg"))
            case "logrotate":
                tools.logrotate(self.write(block, "logrotate.conf"))
            case "json":
                tools.json_lines(block.text)
            case "yaml":
                tools.prometheus(self.write(block, "prometheus.yml"))
            case "ini":
                tools.systemd(self.root, self.folder, block.text)
            case "js":
                tools.javascript(self.folder, block.text)
            case "html":
                for script in re.findall(r"<script[^>]*>(.*?)</script>", block.text, re.DOTALL):
                    tools.javascript(self.folder, script)

    def write(self, block, name=None):
        """Writes the file that a block is, where it says which."""
        if match := NAME.fullmatch(block.text.split("\n", 1)[0]):
            name = match[1]
        if name is None:
            return None
        path = self.commands.cwd / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(block.text)
        return path

    def stop_servers(self):
        """All that the page has started, the last one first."""
        while self.servers:
            self.servers.pop().stop()

    def close(self):
        for server in self.servers:
            server.kill()
