//! What files cost the process: descriptors, memory and time.

use std::fs::File;

use crate::client::{Client, pattern};
use crate::program::Program;
use crate::static_files::Folder;
use crate::support::wait_until;

fn root_of(folder: &Folder) -> String {
    let root = folder.as_ref().join("root");
    root.to_str()
        .expect("a temporary folder is text")
        .to_owned()
}

/// Longer than what is kept in memory while files may be kept open.
const OPEN_BYTES: usize = 10_000;

#[test]
fn files_that_are_kept_open_leave_descriptors_for_clients() {
    let folder = Folder::new();
    for number in 0..100 {
        folder.write(&format!("root/{number}"), pattern(OPEN_BYTES + number));
        folder.write(&format!("root/long-{number}"), pattern(100_000));
    }
    let program = Program::serve_files_with_descriptors(80, &root_of(&folder));
    let before = program.descriptor_count();
    let mut client = Client::connect(program.address);
    for number in 0..100 {
        let response = client.get(&format!("/{number}"));
        assert!(response.body == pattern(OPEN_BYTES + number), "{number}");
        assert_eq!(client.get(&format!("/long-{number}")).body.len(), 100_000);
    }
    let kept = program.descriptor_count() - before - 1;
    assert!((1..=10).contains(&kept), "an eighth of 80, not {kept}");
    // As many clients come in as are promised: 80 less 32, and less what may be kept.
    let mut clients: Vec<Client> = (0..37).map(|_| Client::connect(program.address)).collect();
    for client in &mut clients {
        assert_eq!(client.get("/7").body.len(), OPEN_BYTES + 7);
    }
}

#[test]
fn slow_readers_of_a_huge_file_cost_no_memory() {
    const LEN: u64 = 1 << 30;
    let folder = Folder::new();
    let file = File::create(folder.as_ref().join("root/huge")).expect("a file");
    file.set_len(LEN).expect("a file with a hole");
    let program = Program::serve(&["--root", &root_of(&folder)]);
    let mut clients: Vec<Client> = (0..20).map(|_| Client::connect(program.address)).collect();
    for client in &mut clients {
        client.send_raw("GET /huge HTTP/1.1\r\nHost: localhost\r\n\r\n");
        let head = client.read_response_head();
        assert_eq!(head.field("Content-Length"), Some(&*LEN.to_string()));
    }
    for _ in 0..10 {
        for client in &mut clients {
            client.read_bytes(500_000);
        }
    }
    let peak = program.peak_resident_kib();
    assert!(peak < 32 * 1024, "{peak} KiB");
}

/// A file without what was promised is neither waited for nor asked again and again.
#[test]
fn a_file_that_is_cut_costs_no_time() {
    let folder = Folder::new();
    let path = folder.as_ref().join("root/large");
    let file = File::create(&path).expect("a file");
    file.set_len(256 << 20).expect("a file with a hole");
    let program = Program::serve(&["--root", &root_of(&folder)]);
    let before = program.descriptor_count();
    let mut client = Client::connect(program.address);
    client.send_raw("GET /large HTTP/1.1\r\nHost: localhost\r\n\r\n");
    client.read_response_head();
    file.set_len(1).expect("a shorter file");
    client.read_to_end_or_reset();
    // The connection is gone on its side as well; the file may be kept.
    wait_until("it is closed", || program.descriptor_count() <= before + 1);
    assert!(program.processor_ticks() < 200, "two seconds");
}
