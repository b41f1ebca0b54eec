"""A page with 50 assets, and whether a browser gets it as it should."""

from browser import Tab, expect

ASSETS = 50
PIXEL = bytes.fromhex(
    "89504e470d0a1a0a0000000d4948445200000001000000010802000000907753de0000000c49444154"
    "789c63f8cfc0000003010100c9fe92ef0000000049454e44ae426082")


def write_page(root):
    lines = ["<!DOCTYPE html><meta charset=utf-8><title>Fifty</title>"]
    (root / "a b").mkdir()
    for number in range(ASSETS):
        match number % 5:
            case 0:
                (root / f"{number}.js").write_text(f"(window.ran ??= []).push({number});\n" + "// filler\n" * 300)
                lines.append(f"<script src={number}.js></script>")
            case 1:
                (root / f"{number}.mjs").write_text(f"(window.ran ??= []).push({number});\n")
                lines.append(f"<script type=module src={number}.mjs></script>")
            case 2:
                (root / f"{number}.css").write_text(f":root {{ --v{number}: {number} }}\n")
                lines.append(f"<link rel=stylesheet href={number}.css>")
            case 3:
                (root / "a b" / f"ü{number}.png").write_bytes(PIXEL)
                lines.append(f"<img src='a%20b/%C3%BC{number}.png'>")
            case _:
                (root / f"{number}.svg").write_text("<svg xmlns='http://www.w3.org/2000/svg' width='9' height='9'/>")
                lines.append(f"<img src={number}.svg>")
    (root / "index.html").write_text("\n".join(lines))


class Network:
    """What a tab asked for, as the browser tells it."""

    def __init__(self, tab):
        self.tab, self.responses, self.on_the_wire = tab, [], {}
        receive = tab.browser.receive

        def record(deadline):
            message = receive(deadline)
            if message.get("sessionId") == tab.session:
                params = message.get("params", {})
                if message.get("method") == "Network.responseReceived":
                    self.responses.append((params["requestId"], params["response"]))
                elif message.get("method") == "Network.responseReceivedExtraInfo":
                    # The other says 200 of what a 304 confirmed.
                    self.on_the_wire[params["requestId"]] = params["statusCode"]
            return message

        tab.browser.receive = record
        tab.call("Network.enable")

    def take(self):
        """What came since the last call: responses, with the status on the wire (None: not asked for)."""
        self.tab.value("0")  # what happened until now is in front of its answer
        taken = [{**response, "status": self.on_the_wire.get(request)} for request, response in self.responses]
        self.responses, self.on_the_wire = [], {}
        return taken


def page(browser, url):
    """Opens it twice, the second time with the browser's cache; returns what came the first time."""
    tab = Tab(browser, "page", "about:blank", "light", 900, 640)
    network = Network(tab)
    complete = f"location.href === '{url}' && document.readyState === 'complete'"
    for visit in ("first", "second"):
        tab.call("Page.navigate", url=url)
        tab.wait_for(f"{visit} visit loaded", complete, 10)
        ran = tab.value("window.ran.sort((a, b) => a - b).join()")
        expected = ",".join(str(n) for n in range(ASSETS) if n % 5 < 2)
        expect(ran == expected, f"scripts ran: {ran}")
        styles = [n for n in range(ASSETS) if n % 5 == 2]
        read = "getComputedStyle(document.documentElement).getPropertyValue('--v%d').trim()"
        expect(all(tab.value(read % n) == str(n) for n in styles), "a style sheet was not applied")
        expect(tab.value("[...document.images].every(i => i.complete && i.naturalWidth > 0)"), "an image is broken")
        responses = [r for r in network.take() if r["url"].startswith(url) and "favicon" not in r["url"]]
        expect(len(responses) == ASSETS + 1, f"{len(responses)} responses")
        statuses = {str(r["status"]) for r in responses}
        first = responses if visit == "first" else first
        allowed = {"200"} if visit == "first" else {"304", "None"}
        expect(statuses <= allowed, f"{visit} visit: statuses {statuses}")
        print(f"page: {visit} visit: {len(responses)} responses, {statuses}")
    return first
