"""The commands of the pages that tests/docs/run does not run, and why."""

import sys

MOST = 24

# What a command begins with, and the words of .ci/run that run it in a step of its own.
STEPS = {
    "benches/instructions/check": "benches/instructions/check",
    "cargo build --release --bins --examples": "cargo build --locked --release",
    "cargo bench --bench transports": "cargo bench --locked --bench transports -- --check",
    "cargo install --locked --path .": "cargo build --locked --release",
    "cargo test": "cargo test --locked",
    "FOR_SECONDS=60": "FOR_SECONDS=60",
    "tests/autobahn/run": "tests/autobahn/run",
    "tests/browser/run": "tests/browser/run",
    "tests/campaigns/run": "tests/campaigns/run",
    "tests/clients/run": "tests/clients/run",
    "tests/docs/run": "with_program tests/docs/run",
    "tests/faults/run": "with_program tests/faults/run",
    "tests/http2/run": "tests/http2/run",
    "tests/interop/run": "with_program tests/interop/run",
    "tests/metrics/run": "with_program tests/metrics/run",
    "tests/tls/run": "with_program tests/tls/run",
}

# What a command begins with, and why nothing runs it each time.
OTHERS = {
    "benches/memory/run": "takes minutes, and gives figures of a machine that is left alone",
    "benches/side_by_side/": "builds servers in C++ and Go, which are no part of this",
    "MARCH=x86-64-v3": "the same",
    "cargo bench": "takes minutes; CI compiles all benches",
    "tests/fuzz/run": "wants cargo-fuzz and as long as one gives it; CI compiles the targets",
}


def reason(command):
    """The entry that keeps a command from being run."""
    entries = [entry for entry in (*STEPS, *OTHERS) if command.startswith(entry)]
    return max(entries, key=len, default=None)


def complain(used, ci):
    """Says what is wrong with the lists, a line for each."""
    for entry in (*STEPS, *OTHERS):
        if entry not in used:
            print(f"WRONG: no page has '{entry}': not_run.py has it for nothing", file=sys.stderr)
            yield 1
    for entry, step in STEPS.items():
        if step not in ci:
            print(f"WRONG: .ci/run has no '{step}' to run '{entry}'", file=sys.stderr)
            yield 1
    if len(STEPS) + len(OTHERS) > MOST:
        print(f"WRONG: not_run.py has more than {MOST} entries", file=sys.stderr)
        yield 1
