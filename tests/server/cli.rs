//! The program as its users see it: what it prints, serves, refuses and returns.

use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr};
use std::time::Duration;

use crate::client::{BINARY, Client, handshake, handshake_with, pattern};
#[cfg(target_os = "linux")]
use crate::program::run_with_descriptors;
use crate::program::{Program, run};
use crate::support::wait_until;

#[test]
fn echo_and_broadcast_serve_both_types_of_messages() {
    let program = Program::serve(&[]);
    let mut echo = Client::open(program.address, "/echo");
    // The largest that the default takes, and that Autobahn sends.
    let large = pattern(16 << 20);
    echo.send(true, BINARY, &large);
    assert!(echo.read_message(BINARY) == large);
    let mut clients = [0, 1].map(|_| Client::open(program.address, "/broadcast"));
    clients[0].send_text("text");
    clients[0].send(true, BINARY, "binary");
    for client in &mut clients {
        assert_eq!(client.read_text(), "text");
        assert_eq!(client.read_message(BINARY), b"binary");
    }
}

#[test]
fn every_listener_has_its_line_and_its_clients() {
    let mut program = Program::serve(&["--listen", "127.0.0.1:0", "--listen", "127.0.0.2:0"]);
    for address in [
        program.address,
        program.next_address(),
        program.next_address(),
    ] {
        let mut client = Client::open(address, "/echo");
        client.send_text("here too");
        assert_eq!(client.read_text(), "here too");
    }
}

#[test]
fn an_ipv6_address_is_listened_on() {
    if std::net::TcpListener::bind("[::1]:0").is_err() {
        eprintln!("this machine has no IPv6");
        return;
    }
    let mut program = Program::serve(&["--listen", "[::1]:0"]);
    let mut client = Client::open(program.next_address(), "/echo");
    client.send_text("over IPv6");
    assert_eq!(client.read_text(), "over IPv6");
}

/// `IPV6_V6ONLY`: by Linux's default, [::] would take the IPv4 port along.
#[test]
fn all_ipv4_and_all_ipv6_addresses_are_listened_on_side_by_side() {
    if std::net::TcpListener::bind("[::1]:0").is_err() {
        eprintln!("this machine has no IPv6");
        return;
    }
    let mut over_4 = Program::serve(&["--listen", "0.0.0.0:0"]);
    let port = over_4.next_address().port();
    let mut over_6 = Program::serve(&["--listen", &format!("[::]:{port}")]);
    assert_eq!(over_6.next_address().port(), port);
    for address in [
        SocketAddr::from((Ipv4Addr::LOCALHOST, port)),
        SocketAddr::from((Ipv6Addr::LOCALHOST, port)),
    ] {
        let mut client = Client::open(address, "/echo");
        client.send_text("here too");
        assert_eq!(client.read_text(), "here too");
    }
}

#[test]
fn limits_of_the_command_line_are_kept() {
    let program = Program::serve(&["--max-message-bytes", "2KiB", "--max-frame-bytes", "1KiB"]);
    let mut client = Client::open(program.address, "/echo");
    client.send(false, BINARY, [0; 1024]);
    client.send(true, 0, [0; 1024]);
    assert_eq!(client.read_message(BINARY), [0; 2048]);
    client.send(true, BINARY, [0; 1025]);
    client.expect_close(1009);
}

#[test]
fn pages_of_allowed_origins_alone_may_open_websockets() {
    let allowed = "https://example.com,http://127.0.0.1:8080";
    let program = Program::serve(&["--allowed-origin", allowed]);
    let opened = |path: &str, fields: &str| {
        let mut client = Client::connect(program.address);
        client.send_raw(handshake_with(path, fields));
        client.read_response().status == 101
    };
    for path in ["/chat", "/chat/named", "/echo", "/broadcast"] {
        for origin in ["https://example.com", "http://127.0.0.1:8080"] {
            assert!(opened(path, &format!("Origin: {origin}\r\n")), "{path}");
        }
        assert!(!opened(path, "Origin: http://example.com\r\n"), "{path}");
        assert!(!opened(path, "Origin: null\r\n"), "{path}");
        assert!(!opened(path, ""), "{path}");
    }
}

#[test]
fn a_root_is_served_in_place_of_the_page() {
    let root = std::env::temp_dir().join(format!("aerys-cli-test-{}", std::process::id()));
    std::fs::create_dir_all(&root).expect("a temporary folder");
    std::fs::write(root.join("index.html"), "my own page").expect("a temporary file");
    let program = Program::serve(&["--root", root.to_str().expect("UTF-8")]);
    let mut client = Client::connect(program.address);
    assert_eq!(client.get("/").body, b"my own page");
    client.upgrade("/echo");
    std::fs::remove_dir_all(&root).expect("ours");
}

#[test]
fn bad_arguments_are_explained_with_status_2() {
    for arguments in [
        &["serve", "--listen"][..],
        &["serve", "--heartbeat", "soon"],
        &["serve", "--busy-poll", "long"],
        &["serve", "--max-message-bytes", "-1"],
        &["serve", "--compression", "on"],
        &["serve", "--allowed-origin", "example.com"],
        &["serve", "--compression-level", "0"],
        &["serve", "--compression-window-bits", "16"],
        &["serve", "--no-such-flag"],
        &["no-such-command"],
    ] {
        let (status, output, errors) = run(arguments);
        assert_eq!(status, Some(2), "{arguments:?}: {errors}");
        assert!(output.is_empty() && !errors.is_empty(), "{arguments:?}");
    }
    for flag in ["--help", "--version"] {
        let (status, output, _) = run(&[flag]);
        assert!(status == Some(0) && !output.is_empty(), "{flag}");
    }
}

/// At the start, whatever happens then: here it ends at once.
#[cfg(target_os = "linux")]
#[test]
fn few_descriptors_are_worth_a_warning() {
    let (status, errors) = run_with_descriptors(100, &["--root", "/no/such/folder"]);
    assert_eq!(status, Some(2), "{errors}");
    assert!(errors.contains("only 100 files may be open"), "{errors}");
    assert!(errors.contains("ulimit -Hn"), "{errors}");
    let few = ["--root", "/no/such/folder", "--max-connections", "50"];
    let (_, errors) = run_with_descriptors(100, &few);
    assert!(!errors.contains("files may be open"), "{errors}");
}

#[test]
fn what_cannot_be_listened_on_or_served_is_named_with_status_1() {
    let program = Program::serve(&[]);
    let taken = program.address.to_string();
    let (status, output, errors) = run(&["serve", "--listen", &taken]);
    assert_eq!(status, Some(1), "{errors}");
    assert!(
        output.is_empty() && errors.contains(&taken),
        "{output}{errors}"
    );

    for (arguments, named) in [
        (&["serve", "--listen", "nonsense"][..], "nonsense"),
        (
            &[
                "serve",
                "--listen",
                "127.0.0.1:0",
                "--root",
                "/no/such/folder",
            ],
            "/no/such/folder",
        ),
    ] {
        let (status, _, errors) = run(arguments);
        assert!(matches!(status, Some(1 | 2)), "{arguments:?}: {status:?}");
        assert!(errors.contains(named), "{errors}");
    }
}

/// `SO_REUSEADDR`: connections that the old one closed are still known to the system.
#[test]
fn a_restart_gets_its_address_back_at_once() {
    let mut program = Program::serve(&[]);
    let address = program.address.to_string();
    let mut client = Client::open(program.address, "/echo");
    client.send_close(1000);
    client.expect_close(1000);
    client.expect_eof();
    program.signal(rustix::process::Signal::TERM);
    assert_eq!(program.wait().0.code(), Some(0));
    let mut again = Program::serve(&["--listen", &address]);
    assert_eq!(again.next_address().to_string(), address);
}

#[cfg(target_os = "linux")]
mod calm {
    use super::*;

    #[test]
    fn no_state_of_a_client_makes_the_loop_spin() {
        let program = Program::serve(&[]);
        let mut clients = Vec::new();
        // Idle, half a handshake, half closed in it, and just connected.
        clients.push(Client::open(program.address, "/echo"));
        clients.push(Client::connect(program.address));
        for half_closed in [false, true] {
            let mut client = Client::connect(program.address);
            client.send_raw(&handshake("/echo")[..30]);
            if half_closed {
                client.shut_down_write();
            }
            clients.push(client);
        }
        // A WebSocket half closed, one failed, one that does not read, and one that is not read.
        let client = Client::open(program.address, "/echo");
        client.shut_down_write();
        clients.push(client);
        let mut client = Client::open(program.address, "/echo");
        client.send_raw([0xFF; 20]);
        clients.push(client);
        let mut client = Client::open_narrow(program.address, "/echo");
        client.send(true, BINARY, vec![0; 2 << 20]);
        client.send_text("held back");
        clients.push(client);
        let mut client = Client::connect(program.address);
        client.send_raw(handshake("/echo").replace("Version: 13", "Version: 1"));
        clients.push(client);
        // One that was refused and whose rest is read and dropped, its own end among it.
        let mut client = Client::connect(program.address);
        client.send_raw("BAD\r\n\r\n");
        client.try_send_raw(vec![b'x'; 300_000]);
        client.shut_down_write();
        clients.push(client);
        std::thread::sleep(Duration::from_millis(300));
        program.expect_calm("with clients in every state");
        drop(clients);
        program.expect_calm("after they left");
    }

    #[test]
    fn a_busy_poll_spins_for_its_time_and_no_longer() {
        // Without events for minutes; it would never use so much if it slept.
        let program = Program::serve(&["--busy-poll", "600s"]);
        let client = Client::open(program.address, "/echo");
        let before = program.processor_ticks();
        wait_until("it used processor time", || {
            program.processor_ticks() >= before + 20
        });
        drop(client);

        let program = Program::serve(&["--busy-poll", "20ms"]);
        let _client = Client::open(program.address, "/echo");
        std::thread::sleep(Duration::from_millis(300));
        program.expect_calm("20 ms after its last event");
    }

    #[test]
    fn running_out_of_descriptors_refuses_newcomers_calmly_and_passes() {
        let program = Program::serve_with_descriptors(48);
        let mut held: Vec<_> = (0..8)
            .map(|_| Client::open(program.address, "/echo"))
            .collect();
        let more: Vec<_> = (0..100).map(|_| Client::connect(program.address)).collect();
        program.expect_calm("without descriptors");
        for client in &mut held {
            client.send_text("served as before");
            assert_eq!(client.read_text(), "served as before");
        }
        drop(more);
        drop(held);
        wait_until("newcomers are served again", || {
            let mut client = Client::connect(program.address);
            client.try_send_raw(handshake("/echo")) && client.read_response().status == 101
        });
    }
}
