//! `aerys connect` with `wss://`, and with the scheme of another protocol.

use std::fs;

use crate::program::{Program, command, run_command};

/// `aerys connect` whose input has one line.
fn connect(url: &str, arguments: &[&str]) -> (Option<i32>, String, String) {
    let mut shell = std::process::Command::new("sh");
    shell
        .args(["-c", "echo hello | \"$@\"", "sh"])
        .arg(command().get_program())
        .args(["connect", url, "--count", "1"])
        .args(arguments);
    run_command(shell)
}

#[test]
fn a_certificate_is_believed_if_it_is_vouched_for_or_all_are() {
    let program = Program::serve(&["--tls-self-signed"]);
    let url = format!("wss://{}/echo", program.address);
    let (status, output, errors) = connect(&url, &["--tls-insecure"]);
    assert_eq!((status, output.as_str()), (Some(0), "hello\n"), "{errors}");

    // One line, with what helps.
    let certificate = rcgen::generate_simple_self_signed(["127.0.0.1".to_owned()]);
    let certificate = certificate.expect("a certificate");
    let name = format!("aerys-connect-tls-{}", std::process::id());
    let pem = std::env::temp_dir().join(name).with_extension("pem");
    let key = pem.with_extension("key");
    fs::write(&pem, certificate.cert.pem()).expect("room");
    fs::write(&key, certificate.signing_key.serialize_pem()).expect("room");
    let (pem_path, key_path) = (pem.to_str().expect("text"), key.to_str().expect("text"));
    let (status, output, errors) = connect(&url, &["--tls-ca", pem_path]);
    assert_eq!((status, output.as_str()), (Some(1), ""));
    assert!(
        errors.starts_with("aerys: invalid peer certificate: UnknownIssuer: "),
        "{errors}"
    );
    assert!(errors.contains("--tls-ca FILE") && errors.contains("--tls-insecure"));
    assert_eq!(errors.lines().count(), 1, "{errors}");

    let program = Program::serve(&["--tls-cert", pem_path, "--tls-key", key_path]);
    let url = format!("wss://{}/echo", program.address);
    let (status, output, errors) = connect(&url, &["--tls-ca", pem_path]);
    assert_eq!((status, output.as_str()), (Some(0), "hello\n"), "{errors}");
    // Vouched for, but for another name.
    let url = url.replace("127.0.0.1", "localhost");
    let (status, _, errors) = connect(&url, &["--tls-ca", pem_path]);
    assert_eq!(status, Some(1));
    assert!(
        errors.contains("not valid for name") && errors.contains("--tls-insecure"),
        "{errors}"
    );
    for file in [pem, key] {
        fs::remove_file(file).expect("it is there");
    }
}

#[test]
fn a_scheme_of_another_protocol_is_told_with_the_right_one() {
    let plain = Program::serve(&[]);
    let url = format!("wss://{}/echo", plain.address);
    let (status, _, errors) = connect(&url, &["--tls-insecure"]);
    assert_eq!(status, Some(1));
    assert!(
        errors.starts_with("aerys: the server does not speak TLS") && errors.contains("ws://"),
        "{errors}"
    );
    assert_eq!(errors.lines().count(), 1, "{errors}");
}
