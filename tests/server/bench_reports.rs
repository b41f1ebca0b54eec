//! What `aerys bench` tells of a run: exit status, JSON, page, comparison.

use std::fs;
use std::path::PathBuf;

use serde_json::Value;

use crate::program::{Program, run};

/// A file of this test's own, which is gone at the end.
struct Scratch(PathBuf);

impl Scratch {
    fn new(name: &str) -> Self {
        let name = format!("aerys-bench-reports-{}-{name}", std::process::id());
        Self(std::env::temp_dir().join(name))
    }

    fn path(&self) -> &str {
        self.0.to_str().expect("text")
    }

    fn text(&self) -> String {
        fs::read_to_string(&self.0).expect("it was written")
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        let _ = fs::remove_file(&self.0);
    }
}

/// A short echo on a server of its own.
fn echo(arguments: &[&str]) -> (Option<i32>, String, String) {
    let program = Program::serve(&[]);
    let url = format!("ws://{}/echo", program.address);
    let load = ["bench", "echo", "--url", &url, "--connections", "2"];
    let time = ["--warmup", "0", "--duration", "200ms"];
    run(&[&load[..], &time, arguments].concat())
}

#[test]
fn what_is_asserted_and_is_not_so_ends_with_3() {
    let conditions = [
        "--assert",
        "errors=0",
        "--assert",
        "p50>100s",
        "--assert",
        "throughput>1000M",
    ];
    let (status, output, errors) = echo(&conditions);
    assert_eq!(status, Some(3), "{output}{errors}");
    assert!(output.contains("  errors=0 holds: it is 0\n"), "{output}");
    let lines: Vec<_> = errors.lines().collect();
    assert_eq!(lines.len(), 2, "{errors}");
    assert!(
        lines[0].starts_with("aerys: p50>100s does not hold: it is "),
        "{errors}"
    );
    assert!(
        lines[1].starts_with("aerys: throughput>1000M does not hold: it is "),
        "{errors}"
    );

    let (status, output, errors) = echo(&["--assert", "p99.9<100s,errors=0"]);
    assert_eq!((status, errors.as_str()), (Some(0), ""), "{output}");
    assert!(output.contains("  p99.9<100s holds: it is "), "{output}");
}

#[test]
fn what_cannot_be_asserted_ends_with_2_and_what_can_be_is_told() {
    let nobody = ["bench", "echo", "--url", "ws://127.0.0.1:1/"];
    for (condition, word) in [
        ("p99<2", "ns, us, ms or s"),
        ("latency<2ms", "is not measured"),
    ] {
        let (status, output, errors) = run(&[&nobody[..], &["--assert", condition]].concat());
        assert_eq!((status, output.as_str()), (Some(2), ""), "{condition}");
        assert!(
            errors.contains(word) && errors.contains("p99<2ms (any percentile"),
            "{errors}"
        );
    }
    // Nothing is measured for a file that cannot be written or read.
    for flag in ["--json", "--html", "--compare"] {
        let (status, output, errors) = run(&[&nobody[..], &[flag, "/nowhere/a.json"]].concat());
        assert_eq!((status, output.as_str()), (Some(2), ""), "{flag}");
        assert!(
            errors.starts_with("aerys: /nowhere/a.json: "),
            "{flag}: {errors}"
        );
        assert_eq!(errors.lines().count(), 1, "{flag}: {errors}");
    }
}

#[test]
fn receivers_of_a_broadcast_are_judged_apart() {
    let program = Program::serve(&[]);
    let url = format!("ws://{}/broadcast", program.address);
    let load = ["bench", "broadcast", "--url", &url, "--connections", "3"];
    let time = ["--warmup", "0", "--duration", "200ms"];
    let conditions = [
        "--assert",
        "first.max<100s,median.min>0ns,last.p50<100s,first.p50>100s",
    ];
    let (status, output, errors) = run(&[&load[..], &time, &conditions].concat());
    assert_eq!(status, Some(3), "{output}{errors}");
    assert_eq!(output.matches(" holds: it is ").count(), 3, "{output}");
    assert!(
        errors.contains("aerys: first.p50>100s does not hold: it is "),
        "{errors}"
    );
}

#[test]
fn json_on_standard_output_stands_alone_there() {
    let (status, output, errors) = echo(&["--json", "-"]);
    assert_eq!(status, Some(0), "{errors}");
    assert!(
        errors.contains("p99.99") && errors.contains("round trip"),
        "{errors}"
    );
    let run: Value = serde_json::from_str(&output).expect("JSON, and nothing else");
    assert_eq!(run["aerys_bench_version"], 1);
    assert_eq!(
        (&run["asked"]["kind"], &run["asked"]["connections"]),
        (&"echo".into(), &2.into())
    );
    let counts = &run["measured"]["counts"];
    let received = counts["received"].as_u64().expect("a number");
    assert!(received > 0, "{counts}");
    let intervals = run["measured"]["intervals"]["list"]
        .as_array()
        .expect("a list");
    let messages = intervals
        .iter()
        .map(|one| one["messages"].as_u64().expect("a number"));
    assert_eq!(messages.sum::<u64>(), received);
    let latencies = &run["measured"]["latencies"][0]["latencies"];
    assert_eq!(latencies["count"].as_u64(), Some(received));
    let buckets = latencies["buckets_ns_count"].as_array().expect("a list");
    let counted = buckets
        .iter()
        .map(|pair| pair[1].as_u64().expect("a number"));
    assert_eq!(counted.sum::<u64>(), received);
    let nanos = |name: &str| latencies[name].as_u64().expect(name);
    assert!(0 < nanos("min_ns") && nanos("min_ns") <= nanos("p50_ns"));
    assert!(nanos("p50_ns") <= nanos("p99_99_ns") && nanos("p99_99_ns") <= nanos("max_ns"));
}

#[test]
fn runs_are_laid_over_each_other_while_measuring_and_afterwards() {
    let (first, second) = (Scratch::new("first.json"), Scratch::new("second.json"));
    let page = Scratch::new("page.html");
    let label = "<b>before</b>";
    let (status, output, errors) = echo(&["--json", first.path(), "--label", label]);
    assert_eq!((status, errors.as_str()), (Some(0), ""), "{output}");
    // Longer than what will be in it, whose rest has to go.
    fs::write(page.path(), "x".repeat(10_000_000)).expect("room");
    let more = [
        "--compare",
        first.path(),
        "--html",
        page.path(),
        "--json",
        second.path(),
    ];
    let (status, output, errors) = echo(&more);
    assert_eq!((status, errors.as_str()), (Some(0), ""), "{output}");
    assert!(output.contains("<b>before</b>   this run\n"), "{output}");
    let of_the_run = page.text();

    let files = [first.path(), second.path()];
    let compare = [&["bench", "compare"], &files[..], &["--html", page.path()]].concat();
    let (status, output, errors) = run(&compare);
    assert_eq!((status, errors.as_str()), (Some(0), ""), "{output}");
    let of_the_files = page.text();
    for page in [of_the_run, of_the_files] {
        assert!(page.starts_with("<!DOCTYPE html>") && page.ends_with("</html>\n"));
        assert!(page.contains("&lt;b&gt;before&lt;/b&gt;") && !page.contains("<b>"));
        for address in ["src=", "href=", "url(", "http://", "https://", "<script"] {
            assert!(!page.contains(address), "{address}");
        }
        assert!(
            page.contains("<path class=\"line c1\""),
            "a second run is drawn"
        );
    }
    // The last of them may be judged, too.
    let (status, _, errors) = run(&[&compare[..], &["--assert", "p50>100s"]].concat());
    assert_eq!(status, Some(3));
    assert!(
        errors.starts_with("aerys: p50>100s does not hold: it is "),
        "{errors}"
    );
}

#[test]
fn what_is_no_run_is_refused_by_its_name() {
    let file = Scratch::new("no-run.json");
    for (text, word) in [
        ("{", "it is no run of a bench"),
        ("{\"aerys_bench_version\": 7}", "it is of version 7"),
    ] {
        fs::write(file.path(), text).expect("room");
        let (status, output, errors) = run(&["bench", "compare", file.path()]);
        assert_eq!((status, output.as_str()), (Some(2), ""), "{text}");
        assert!(
            errors.starts_with(&format!("aerys: {}: {word}", file.path())),
            "{errors}"
        );
        assert_eq!(errors.lines().count(), 1, "{errors}");
    }
}
