//! `aerys connect` and the progress of `aerys bench` on a terminal.

use crate::program::Program;
use crate::support::TestServer;
use crate::terminal::OnTerminal;

fn connected(server: &TestServer) -> OnTerminal {
    let url = format!("ws://{}/", server.address);
    let mut terminal = OnTerminal::start(&["connect", &url]);
    terminal.wait_for("* connected");
    terminal
}

#[test]
fn lines_are_typed_and_the_end_of_the_input_closes_at_once() {
    let server = TestServer::echo();
    let mut terminal = connected(&server);
    // Words on the connection are dimmed, what is received is not.
    assert_eq!(terminal.shown, "\u{1b}[2m* connected\u{1b}[0m\r\n");
    // The terminal's own line editing: what was deleted is not sent.
    terminal.type_in("hellx\u{7f}o\n");
    terminal.wait_for("\r\nhello\r\n");
    // A message commands no terminal: it is a tab as it was typed, and an escape when it comes back.
    terminal.type_in("a\tb\n");
    terminal.wait_for("\r\na\\tb\r\n");
    // Ctrl-D.
    terminal.type_in("\u{4}");
    let status = terminal.end();
    let last = "\u{1b}[2m* closed: 1000 (normal closure)\u{1b}[0m\r\n";
    assert!(terminal.shown.ends_with(last), "{:?}", terminal.shown);
    assert_eq!(status.code(), Some(0), "{:?}", terminal.shown);
}

#[test]
fn ctrl_c_closes_as_it_should() {
    let server = TestServer::echo();
    let mut terminal = connected(&server);
    // What is typed and not ended by a return is not sent.
    terminal.type_in("half a line");
    terminal.wait_for("half a line");
    terminal.type_in("\u{3}");
    let status = terminal.end();
    assert!(
        terminal.shown.contains("* closed: 1000 (normal closure)"),
        "{:?}",
        terminal.shown
    );
    assert_eq!(terminal.shown.matches("half a line").count(), 1);
    assert_eq!(status.code(), Some(0));
}

#[test]
fn a_bench_tells_how_far_it_is_on_one_line_that_is_gone_at_the_end() {
    let program = Program::serve(&[]);
    let url = format!("ws://{}/echo", program.address);
    let load = ["bench", "echo", "--url", &url, "--rate", "100"];
    let time = ["--warmup", "300ms", "--duration", "600ms"];
    let mut terminal = OnTerminal::start(&[&load[..], &time].concat());
    let status = terminal.end();
    assert_eq!(status.code(), Some(0), "{}", terminal.shown);
    // A word on how late it was may come first.
    let shown = &terminal.shown;
    let begins = [shown.find("aerys: "), shown.find("\u{1b}[1m")];
    let begin = begins
        .into_iter()
        .flatten()
        .min()
        .expect("a report in bold");
    let (progress, report) = shown.split_at(begin);
    assert!(!progress.contains('\n'), "{progress:?}");
    let written: Vec<_> = progress.split('\r').collect();
    assert!(
        written
            .iter()
            .any(|state| state.starts_with("warming up: 0.")),
        "{written:?}"
    );
    let of_all = written
        .iter()
        .filter(|state| state.contains("] 0.") && state.contains(" s of 600 ms"));
    assert!(of_all.count() >= 2, "{written:?}");
    // Written over with spaces, as long as the longest before it was.
    let longest = written.iter().map(|state| state.trim_end().len()).max();
    let [.., gone, ""] = &written[..] else {
        panic!("{written:?}");
    };
    assert!(
        gone.trim().is_empty() && gone.len() > 20,
        "{longest:?}: {written:?}"
    );
    assert!(report.contains("p99.99"), "{report}");
}

#[test]
fn ctrl_c_ends_a_bench_that_tells_what_was_measured_by_then() {
    let program = Program::serve(&[]);
    let url = format!("ws://{}/echo", program.address);
    let load = [
        "bench",
        "echo",
        "--url",
        &url,
        "--connections",
        "2",
        "--rate",
        "100",
    ];
    let time = ["--warmup", "0", "--duration", "1h", "--assert", "p50>100s"];
    let mut terminal = OnTerminal::start(&[&load[..], &time].concat());
    terminal.wait_for("/s, p99");
    terminal.type_in("\u{3}");
    let status = terminal.end();
    let shown = &terminal.shown;
    assert_eq!(status.code(), Some(1), "{shown}");
    for part in [
        "p99.99",
        "errors          none",
        "p50>100s does not hold",
        "aerys: interrupted",
    ] {
        assert!(shown.contains(part), "{part}: {shown}");
    }
}
