//! Connections from one address, where a proxy says in front of each which one that is.

use crate::{GET, HANDSHAKE, World, echo, greeting, millis, seconds, status};
use aerys::internals::Peer;
use aerys::{Config, WebSocketConfig};

fn start(most: usize) -> World {
    let config = Config {
        max_connections_per_address: Some(most),
        ..Config::default()
    };
    let router = greeting().get("/ws", echo(WebSocketConfig::default()));
    World::listening("127.0.0.1:0?proxy-protocol", config, router)
}

fn header(ip: &str) -> Vec<u8> {
    let family = if ip.contains(':') { "TCP6" } else { "TCP4" };
    let to = if ip.contains(':') {
        "::1"
    } else {
        "192.0.2.99"
    };
    format!("PROXY {family} {ip} {to} 4000 80\r\n").into_bytes()
}

/// What a client that comes from `ip` by way of a proxy is answered.
fn come(world: &mut World, ip: &str, request: &[u8]) -> (Peer, u16) {
    let peer = world.connect();
    let answer = world.ask(peer, &[&header(ip)[..], request].concat());
    (peer, status(&answer))
}

#[test]
fn who_comes_from_an_address_with_as_many_as_it_may_have_is_answered_503() {
    let mut world = start(2);
    let (first, second) = ("192.0.2.1", "192.0.2.2");
    for ip in [first, second] {
        for request in [GET, HANDSHAKE] {
            assert!(matches!(come(&mut world, ip, request).1, 200 | 101));
        }
        for _ in 0..100 {
            let peer = world.connect();
            let answer = world.ask(peer, &[&header(ip)[..], GET].concat());
            let refusal = "HTTP/1.1 503 Service Unavailable\r\nRetry-After: 1\r\n";
            assert!(
                answer.starts_with(refusal.as_bytes()),
                "{}",
                answer.escape_ascii()
            );
            assert!(world.server.is_closed(peer));
        }
    }
    // Few of those who are refused are waited for.
    assert!(world.server.client_count() <= 4 + 16);
    assert_eq!(world.server.counted_addresses(), (2, 4));
    world.pass(seconds(2));
    assert_eq!(world.server.client_count(), 4);
}

#[test]
fn a_network_of_64_bits_counts_as_one_address() {
    let mut world = start(2);
    assert_eq!(come(&mut world, "2001:db8:0:1::1", GET).1, 200);
    assert_eq!(come(&mut world, "2001:db8:0:1:2:3:4:5", GET).1, 200);
    assert_eq!(come(&mut world, "2001:db8:0:1:ffff::", GET).1, 503);
    assert_eq!(come(&mut world, "2001:db8:0:2::1", GET).1, 200);
}

/// A proxy's check of our health, and one that does not know who its client is.
#[test]
fn a_proxy_that_speaks_for_nobody_is_not_counted() {
    let mut world = start(1);
    for _ in 0..10 {
        let peer = world.connect();
        let answer = world.ask(peer, &[b"PROXY UNKNOWN\r\n", GET].concat());
        assert_eq!(status(&answer), 200);
    }
    assert_eq!(world.server.counted_addresses(), (0, 0));
    // Nor is a connection that has not said it yet.
    let halves: Vec<_> = (0..10)
        .map(|_| {
            let peer = world.connect();
            world.send(peer, &header("192.0.2.1")[..20]);
            peer
        })
        .collect();
    assert_eq!(world.server.counted_addresses(), (0, 0));
    let rest = [&header("192.0.2.1")[20..], GET].concat();
    let statuses: Vec<_> = halves
        .iter()
        .map(|peer| status(&world.ask(*peer, &rest)))
        .collect();
    assert_eq!(statuses[0], 200);
    assert!(statuses[1..].iter().all(|status| *status == 503));
}

/// How somebody leaves.
type Leave = fn(&mut World, Peer);

/// Nothing is left over in any of these ways to leave.
#[test]
fn whoever_leaves_in_whatever_way_makes_room_and_the_table_is_empty_at_the_end() {
    let ip = "192.0.2.7";
    let mut world = start(1);
    let ways: [(&[u8], Leave); 9] = [
        // It ends its side: between requests, amid one, behind one.
        (GET, |world, peer| world.server.end(peer)),
        (&GET[..9], |world, peer| world.server.end(peer)),
        (HANDSHAKE, |world, peer| world.server.end(peer)),
        // It is too slow, idle, silent.
        (&GET[..9], |world, _| world.pass(seconds(13))),
        (GET, |world, _| world.pass(seconds(18))),
        (HANDSHAKE, |world, _| world.pass(seconds(45))),
        // It breaks the rules.
        (b"nonsense\r\n\r\n", |world, _| world.pass(seconds(3))),
        (HANDSHAKE, |world, peer| {
            world.send(peer, b"\xFF\xFF");
            world.pass(seconds(5));
        }),
        // It says Close, and never ends its side.
        (HANDSHAKE, |world, peer| {
            world.send(peer, b"\x88\x80abcd");
            world.pass(seconds(5));
        }),
    ];
    for (number, (request, leave)) in ways.into_iter().enumerate() {
        for _ in 0..3 {
            let (peer, _) = come(&mut world, ip, request);
            assert_eq!(world.server.counted_addresses(), (1, 1), "{number}");
            let (refused, status) = come(&mut world, ip, GET);
            assert_eq!(status, 503, "{number}");
            leave(&mut world, peer);
            world.server.end(refused);
            world.pass(millis(1));
            assert_eq!(world.server.counted_addresses(), (0, 0), "{number}");
        }
    }
    world.pass(seconds(60));
    assert_eq!(
        (world.server.client_count(), world.server.aside_count()),
        (0, 0)
    );
}

/// One goes and another comes, of which one poll tells.
#[test]
fn who_leaves_makes_room_for_who_comes_at_the_same_time() {
    let mut world = start(1);
    let ip = "192.0.2.7";
    let (mut peer, _) = come(&mut world, ip, GET);
    for round in 0..10 {
        let next = world.connect();
        world.server.end(peer);
        world.server.send(next, &[&header(ip)[..], GET].concat());
        world.settle();
        assert_eq!(status(&world.server.take_output(next)), 200, "{round}");
        assert_eq!(world.server.counted_addresses(), (1, 1));
        peer = next;
    }
}

/// Who never reads that it is refused is not waited for longer than anybody else who reads nothing.
#[test]
fn who_never_reads_that_it_is_refused_is_dropped_at_the_write_timeout() {
    let mut world = start(1);
    let ip = "192.0.2.7";
    come(&mut world, ip, HANDSHAKE);
    for _ in 0..20 {
        let refused = world.connect();
        world.server.set_room(refused, 0);
        world.send(refused, &header(ip));
    }
    assert_eq!(world.server.client_count(), 1 + 16);
    world.pass(seconds(31));
    assert_eq!(world.server.client_count(), 1);
    assert_eq!(world.server.counted_addresses(), (1, 1));
}

/// From one address, up to what it may have, for a long time.
#[test]
fn an_office_behind_one_address_is_served_as_long_as_it_keeps_to_its_limit() {
    let mut world = start(50);
    let ip = "198.51.100.1";
    let mut open: Vec<_> = (0..49).map(|_| come(&mut world, ip, HANDSHAKE).0).collect();
    for round in 0..500 {
        let (peer, status) = come(&mut world, ip, if round % 2 == 0 { GET } else { HANDSHAKE });
        assert!(matches!(status, 200 | 101), "{status} in round {round}");
        let leaving = open.remove(round % 49);
        world.server.end(leaving);
        world.settle();
        open.push(peer);
    }
    assert_eq!(world.server.counted_addresses(), (1, 49));
}

#[test]
fn nothing_is_counted_where_addresses_have_no_limit() {
    let router = greeting().get("/ws", echo(WebSocketConfig::default()));
    let mut world = World::listening("127.0.0.1:0?proxy-protocol", Config::default(), router);
    for _ in 0..200 {
        assert_eq!(come(&mut world, "192.0.2.1", GET).1, 200);
    }
    assert_eq!(world.server.counted_addresses(), (0, 0));
}
