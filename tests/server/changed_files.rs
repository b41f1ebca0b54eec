//! Files that change between two requests, and while they are sent.

use std::fs::File;
use std::os::unix::fs::FileExt as _;
use std::time::{Duration, SystemTime};

use crate::client::{Client, pattern};
use crate::static_files::{Folder, settled};
use crate::support::wait_until;

/// More than the buffers of both sockets hold.
const LARGE: u64 = 64 << 20;

const GET_LARGE: &str = "GET /large HTTP/1.1\r\nHost: localhost\r\n\r\n";

fn change(folder: &Folder, change: impl FnOnce(File) -> std::io::Result<()>) {
    let path = folder.as_ref().join("root/large");
    let file = File::options()
        .write(true)
        .create(true)
        .truncate(false)
        .open(path);
    change(file.expect("a file to write")).expect("a file that can be changed");
}

#[test]
fn a_file_that_is_cut_while_it_is_sent_cuts_the_connection_and_nothing_else() {
    let folder = Folder::new();
    change(&folder, |file| file.set_len(LARGE));
    folder.write("root/small", "small");
    let server = folder.serve();
    let mut client = Client::connect(server.address);
    client.send_raw(GET_LARGE);
    let head = client.read_response_head();
    assert_eq!(head.field("Content-Length"), Some(&*LARGE.to_string()));
    client.read_bytes(100_000);
    change(&folder, |file| file.set_len(200_000));
    // What it gets is the begin and a cut: no bytes that are made up, and no end that looks whole.
    let rest = client.read_to_end_or_reset();
    assert!((rest.len() as u64) < LARGE - 100_000, "{}", rest.len());
    let mut other = Client::connect(server.address);
    assert_eq!(other.get("/small").body, b"small");
    assert_eq!(other.get("/large").body.len(), 200_000);
}

#[test]
fn what_is_appended_while_a_file_is_sent_is_no_part_of_it() {
    let folder = Folder::new();
    change(&folder, |file| file.set_len(LARGE));
    let server = folder.serve();
    let mut client = Client::connect(server.address);
    client.send_raw(GET_LARGE);
    client.read_response_head();
    change(&folder, |file| file.set_len(LARGE + 1000));
    let body = client.read_bytes(usize::try_from(LARGE).expect("it fits"));
    assert!(body.iter().all(|byte| *byte == 0));
    // The next response begins behind exactly so many.
    let response = client.request("HEAD", "/large", &[]);
    let len = (LARGE + 1000).to_string();
    assert_eq!(response.field("Content-Length"), Some(&*len));
}

#[test]
fn a_file_that_is_overwritten_while_it_is_sent_never_looks_whole() {
    let whole = usize::try_from(LARGE).expect("it fits");
    let changes: [&dyn Fn(&Folder); 2] = [
        &|folder| change(folder, |file| file.write_all_at(b"other", LARGE - 5)),
        &|folder| change(folder, |file| file.write_all_at(b"other", 0)),
    ];
    for range in ["", "Range: bytes=1-\r\n", "Range: bytes=0-0,2-\r\n"] {
        for overwrite in changes {
            let folder = Folder::new();
            change(&folder, |file| {
                file.set_len(LARGE)?;
                // Later changes are to show, whatever the ticks of the file system.
                file.set_modified(SystemTime::now() - Duration::from_secs(10))
            });
            let server = folder.serve();
            let mut client = Client::connect(server.address);
            client.send_raw(format!(
                "GET /large HTTP/1.1\r\nHost: localhost\r\n{range}\r\n"
            ));
            let head = client.read_response_head();
            let len = head.field("Content-Length").expect("a length");
            let len: usize = len.parse().expect("a number");
            assert!(len > whole - 100, "{len}");
            client.read_bytes(100_000);
            overwrite(&folder);
            let rest = client.read_to_end_or_reset();
            assert!(rest.len() < len - 100_000, "{range}: {}", rest.len());
        }
    }
}

#[test]
fn a_file_that_is_replaced_while_it_is_sent_is_sent_to_its_end() {
    let folder = Folder::new();
    change(&folder, |file| file.set_len(LARGE));
    let server = folder.serve();
    let mut client = Client::connect(server.address);
    client.send_raw(GET_LARGE);
    client.read_response_head();
    folder.write("new", "new");
    let (new, old) = (
        folder.as_ref().join("new"),
        folder.as_ref().join("root/large"),
    );
    std::fs::rename(new, old).expect("a new file");
    let mut other = Client::connect(server.address);
    wait_until("the new file is served", || {
        other.get("/large").body == b"new"
    });
    let body = client.read_bytes(usize::try_from(LARGE).expect("it fits"));
    assert!(body.iter().all(|byte| *byte == 0));
    assert_eq!(client.get("/large").body, b"new");
}

#[test]
fn every_kind_of_change_shows_while_a_connection_stays() {
    let folder = Folder::new();
    folder.write("root/a", "first");
    folder.write("root/b", pattern(300_000));
    let server = folder.serve();
    let mut client = Client::connect(server.address);
    let first = settled(&mut client, "/a");
    let tag = first.field("ETag").expect("a tag").to_owned();
    assert_eq!(client.get("/b").body.len(), 300_000);
    assert_eq!(client.get("/c").status, 404);
    folder.write("root/a", "other");
    folder.write("root/b", pattern(100_000));
    folder.write("root/c", "made");
    assert_eq!(
        client.get("/c").body,
        b"made",
        "nobody remembers that it was not there"
    );
    assert!(
        client.get("/b").body == pattern(100_000),
        "asked each time, since it is open"
    );
    wait_until("the file is new", || client.get("/a").body == b"other");
    // The tag of the old one gets the whole of the new one.
    let fields = [("Range", "bytes=1-2"), ("If-Range", &*tag)];
    let response = client.request("GET", "/a", &fields);
    assert_eq!((response.status, &response.body[..]), (200, &b"other"[..]));
    std::fs::remove_file(folder.as_ref().join("root/b")).expect("it is there");
    wait_until("the file is gone", || client.get("/b").status == 404);
}

/// They share the open file, and none moves the place of another.
#[test]
fn many_clients_read_one_open_file_each_at_its_own_pace() {
    const LEN: usize = 8 << 20;
    let folder = Folder::new();
    let content = pattern(LEN);
    folder.write("root/large", &content);
    let server = folder.serve();
    let mut clients: Vec<Client> = (0..6).map(|_| Client::connect(server.address)).collect();
    let starts: Vec<usize> = (0..6).map(|number| number * 1_000_003).collect();
    for (client, start) in clients.iter_mut().zip(&starts) {
        client.send_raw(format!(
            "GET /large HTTP/1.1\r\nHost: localhost\r\nRange: bytes={start}-\r\n\r\n"
        ));
    }
    for client in &mut clients {
        assert_eq!(client.read_response_head().status, 206);
    }
    let mut places = starts;
    while places.iter().any(|place| *place < LEN) {
        for (number, (client, place)) in clients.iter_mut().zip(&mut places).enumerate() {
            let len = (10_000 * (number + 1) + 7).min(LEN - *place);
            let bytes = client.read_bytes(len);
            assert!(bytes == content[*place..*place + len], "client {number}");
            *place += len;
        }
    }
}
