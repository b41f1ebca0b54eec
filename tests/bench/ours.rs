//! Loads on this program's own server.

use crate::run::{Serving, Told, bench};
use std::process::Command;

/// What a load came to that has no errors.
fn clean(args: &[&str]) -> Told {
    let told = bench(args);
    assert_eq!(told.status, Some(0), "{args:?}: {}", told.stderr);
    assert_eq!(told.errors(), 0, "{args:?}: {}", told.stderr);
    assert!(told.received() > 0, "{args:?}");
    told
}

const SHORT: [&str; 4] = ["--warmup", "0", "--duration", "300ms"];

#[test]
fn each_load_runs_without_errors() {
    let serving = Serving::start(&[]);
    let echo = serving.url("ws", "/echo");
    for more in [
        &["--connections", "7"][..],
        &["--binary", "--size", "100000", "--connections", "3"],
        &["--pipeline", "20", "--size", "0"],
        &["--rate", "500", "--size", "20000", "--text"],
    ] {
        clean(&[&["echo", "--url", &echo], &SHORT[..], more].concat());
    }
    let broadcast = serving.url("ws", "/broadcast");
    for more in [
        &["--connections", "20"][..],
        &["--connections", "1", "--pipeline", "8", "--binary"],
        &["--connections", "5", "--size", "1", "--pipeline", "20"],
        &["--connections", "9", "--sender-apart", "--rate", "100"],
    ] {
        let told = clean(&[&["broadcast", "--url", &broadcast], &SHORT[..], more].concat());
        let receivers: u64 = more[1].parse().expect("a number");
        assert_eq!(told.received() % receivers, 0, "{more:?}");
        let messages = told.number("/measured/latencies/2/latencies/count");
        assert_eq!(told.received(), messages * receivers, "{more:?}");
    }
    let page = serving.url("http", "/");
    for more in [
        &["--connections", "3"][..],
        &["--pipeline", "8", "--rate", "400"],
    ] {
        clean(&[&["http", "--url", &page], &SHORT[..], more].concat());
    }
}

#[test]
fn localhost_is_found_at_whichever_address_it_listens() {
    let serving = Serving::start(&[]);
    let (_, port) = serving.address.rsplit_once(':').expect("a port");
    let url = format!("ws://localhost:{port}/echo");
    clean(&[&["echo", "--url", &url], &SHORT[..]].concat());
}

#[test]
fn compressed_messages_are_fewer_bytes_and_come_back_the_same() {
    for mode in ["shared", "dedicated"] {
        let serving = Serving::start(&["--compression", mode]);
        let url = serving.url("ws", "/echo");
        let args = ["echo", "--url", &url, "--size", "4000", "--rate", "100"];
        let each = |more: &[&str]| {
            let told = clean(&[&args[..], &SHORT, more].concat());
            let counts = "/measured/counts";
            assert_eq!(told.received(), 30);
            ["sent_bytes", "received_bytes"].map(|of| told.number(&format!("{counts}/{of}")))
        };
        for (plain, compressed) in each(&[]).into_iter().zip(each(&["--compression"])) {
            assert!(compressed < plain / 5, "{mode}: {compressed} of {plain}");
        }
        let url = serving.url("ws", "/broadcast");
        let args = [
            "broadcast",
            "--url",
            &url,
            "--size",
            "4000",
            "--compression",
        ];
        clean(&[&args[..], &SHORT].concat());
    }
}

#[test]
fn connections_are_held_and_the_memory_of_the_server_is_told() {
    let serving = Serving::start(&[]);
    let url = serving.url("ws", "/echo");
    let pid = serving.pid();
    let args = [
        "connect",
        "--url",
        &url,
        "--connections",
        "50",
        "--hold",
        "0",
    ];
    let told = clean(&[&args[..], &["--pid", &pid]].concat());
    assert_eq!(told.received(), 50);
    assert_eq!(told.number("/measured/memory/connections"), 50);
    assert!(told.number("/measured/memory/before_bytes") > 100_000);
    assert!(told.stderr.contains("Pss"), "{}", told.stderr);

    let told = bench(&[&args[..], &["--pid", "4294967295"]].concat());
    assert_eq!(told.status, Some(1));
    assert!(told.stderr.contains("4294967295"), "{}", told.stderr);
}

#[cfg(feature = "self-signed")]
#[test]
fn tls_is_spoken_with_whom_it_believes_alone() {
    let serving = Serving::start(&["--tls-self-signed"]);
    let url = serving.url("wss", "/echo");
    for more in [
        &["--connections", "3"][..],
        &["--size", "100000", "--pipeline", "3"],
    ] {
        let args = ["echo", "--url", &url, "--tls-insecure"];
        clean(&[&args[..], &SHORT, more].concat());
    }
    let page = serving.url("https", "/");
    clean(&[&["http", "--url", &page, "--tls-insecure"], &SHORT[..]].concat());

    // Somebody else vouches.
    let names = vec!["127.0.0.1".to_owned()];
    let other = rcgen::generate_simple_self_signed(names).expect("a certificate");
    let file = std::env::temp_dir().join(format!("aerys-bench-{}.pem", std::process::id()));
    std::fs::write(&file, other.cert.pem()).expect("a temporary file");
    let path = file.to_str().expect("UTF-8");
    let told = bench(&[&["echo", "--url", &url, "--tls-ca", path], &SHORT[..]].concat());
    assert_eq!(told.status, Some(1));
    assert!(
        told.stderr.contains("invalid peer certificate"),
        "{}",
        told.stderr
    );

    let key = file.with_extension("key");
    std::fs::write(&key, other.signing_key.serialize_pem()).expect("a temporary file");
    let key_path = key.to_str().expect("UTF-8");
    let serving = Serving::start(&["--tls-cert", path, "--tls-key", key_path]);
    let url = serving.url("wss", "/echo");
    clean(&[&["echo", "--url", &url, "--tls-ca", path], &SHORT[..]].concat());
    for file in [file, key] {
        std::fs::remove_file(file).expect("it is there");
    }
}

/// Where the system has so few ports that one source has too few: in a network of its own, if the system
/// gives one.
#[cfg(target_os = "linux")]
#[test]
fn when_ports_run_out_other_loopback_sources_are_taken() {
    let program = env!("CARGO_BIN_EXE_aerys");
    let script = r#"
        ip link set lo up || exit 77
        echo 40000 40049 > /proc/sys/net/ipv4/ip_local_port_range || exit 77
        "$1" serve --listen 127.0.0.1:1337 --log-level off > "$2" & server=$!
        until [ -s "$2" ]; do kill -0 $server || exit 78; done
        "$1" bench connect --url ws://localhost:1337/echo --connections 120 --hold 0 --json -
        status=$?
        kill $server
        exit $status
    "#;
    let ready = std::env::temp_dir().join(format!("aerys-bench-{}.ready", std::process::id()));
    let output = Command::new("unshare")
        .args([
            "--net",
            "--map-root-user",
            "sh",
            "-c",
            script,
            "sh",
            program,
        ])
        .arg(&ready)
        .output();
    let _ = std::fs::remove_file(&ready);
    let told = match output {
        Ok(output) => crate::run::told(&output),
        Err(error) => return eprintln!("not tried, without unshare: {error}"),
    };
    if told.stderr.contains("unshare:") || told.status == Some(77) {
        return eprintln!("not tried, without a network of its own: {}", told.stderr);
    }
    assert_eq!(told.status, Some(0), "{}", told.stderr);
    assert_eq!(
        (told.received(), told.errors()),
        (120, 0),
        "{}",
        told.stderr
    );
}
