"""The chat of `aerys serve` in two tabs, as people use it."""

import json
import time

from browser import expect

SENT = "Hello <b>from</b> the first tab & its <i>friends</i> ✓"
CONNECTED = "document.querySelector('#status').dataset.state === 'connected'"
ITALIC = "[...document.querySelectorAll('#messages i')].map(e => e.textContent)"
LINES = "[...document.querySelectorAll('#messages li > :first-child')].map(e => e.textContent)"


def chat(first, second):
    """A message and its answers, by the keyboard and by the button."""
    for tab in (first, second):
        tab.wait_for("connected", CONNECTED, 10)
    second.wait_for("welcomed", f"{LINES}.some(l => l.startsWith('Welcome new client '))", 2)

    first.value("document.querySelector('#input').focus()")
    first.call("Input.insertText", text=SENT)
    first.press_enter()
    sent_at = time.monotonic()
    first.wait_for("acknowledged in italics",
                   f"{ITALIC}.includes('Message received ... Sending in 5 seconds ...')", 1)
    expect(second.value(f"{ITALIC}.length") == 0, "the acknowledgement went to the other tab too")
    expect(first.value("document.querySelector('#input').value") == "", "the input was not emptied")

    first.call("Input.insertText", text="and by the button")
    first.value("document.querySelector('#send').click()")
    for tab in (first, second):
        tab.wait_for("has the message", f"{LINES}.some(l => l.endsWith({json.dumps(' said: ' + SENT)}))", 8)
    took = time.monotonic() - sent_at
    expect(4.8 <= took <= 6.5, f"the message came after {took:.2f} s instead of five")
    for tab in (first, second):
        tab.wait_for("has the second message", f"{LINES}.some(l => l.endsWith('said: and by the button'))", 3)
        expect(tab.value("document.querySelectorAll('#messages b').length") == 0,
               "what a client wrote became markup")
