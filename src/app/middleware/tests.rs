use super::*;
use crate::http::response::UpgradeTo;
use std::cell::RefCell;
use std::rc::Rc;

type Log = Rc<RefCell<Vec<String>>>;

/// A middleware that writes down what it sees, and does what it is told to.
struct Layer {
    name: &'static str,
    log: Log,
    before: fn(&mut Response),
    after: fn(&mut Response),
}

fn nothing(_: &mut Response) {}

impl Middleware for Layer {
    fn before(&mut self, _: &mut Request, response: &mut Response) {
        self.log.borrow_mut().push(format!(">{}", self.name));
        (self.before)(response);
    }

    fn after(&mut self, _: &Request, response: &mut Response) {
        let status = response.status().as_u16();
        self.log
            .borrow_mut()
            .push(format!("<{}{status}", self.name));
        (self.after)(response);
    }
}

/// What three layers around `ask` see, the second of which does what it is told to; the response.
fn run(
    before: fn(&mut Response),
    after: fn(&mut Response),
    ask: fn(&mut Response),
) -> (String, Response) {
    let log = Log::default();
    let layer = |name| Layer {
        name,
        log: Rc::clone(&log),
        before: nothing,
        after: nothing,
    };
    let second = Layer {
        before,
        after,
        ..layer("b")
    };
    let layers = Layers::default();
    for layer in [layer("a"), second, layer("c")] {
        layers.push(layer);
    }
    let (mut request, mut response) = (Request::for_test("GET", "/", &[]), Response::new());
    let let_in = surround(&layers, &mut request, &mut response, |_, response| {
        log.borrow_mut().push("ask".to_owned());
        ask(response);
    });
    let is_spoiled = let_in == Err(Spoiled);
    let seen = log.borrow().join(" ");
    assert_eq!(
        is_spoiled,
        seen.contains("101") && response.upgrade.is_none()
    );
    (seen, response)
}

fn answer(response: &mut Response) {
    response.end("text");
}

fn open(response: &mut Response) {
    *response = Response::switching_protocols();
    response
        .set_header("Upgrade", "websocket")
        .set_header("Sec-WebSocket-Accept", "x");
    response.upgrade = Some(UpgradeTo(0));
}

#[test]
fn before_is_in_order_and_after_in_reverse() {
    assert_eq!(
        run(nothing, nothing, answer).0,
        ">a >b >c ask <c200 <b200 <a200"
    );
    assert_eq!(
        run(nothing, nothing, nothing).0,
        ">a >b >c ask <c200 <b200 <a200",
        "also where nobody answered"
    );
}

#[test]
fn who_answers_before_sees_its_answer_and_those_behind_it_nothing() {
    let refuse = |response: &mut Response| _ = response.set_status(403);
    assert_eq!(run(refuse, nothing, answer).0, ">a >b <b403 <a403");
}

#[test]
fn a_panic_anywhere_is_a_500_for_those_around_it() {
    let panic = |_: &mut Response| panic!("on purpose");
    assert_eq!(run(panic, nothing, answer).0, ">a >b <a500");
    assert_eq!(
        run(nothing, panic, answer).0,
        ">a >b >c ask <c200 <b200 <a500"
    );
    assert_eq!(
        run(nothing, nothing, panic).0,
        ">a >b >c ask <c500 <b500 <a500"
    );
}

#[test]
fn a_mistake_anywhere_is_a_500_that_others_can_add_to() {
    let mistake = |response: &mut Response| _ = response.set_header("X", "a\r\nb");
    for (before, after, ask) in [
        (
            mistake as fn(&mut Response),
            nothing as fn(&mut Response),
            answer as fn(&mut Response),
        ),
        (nothing, mistake, answer),
        (nothing, nothing, mistake),
    ] {
        let (seen, mut response) = run(before, after, ask);
        assert!(seen.ends_with("<a500"), "{seen}");
        response.set_header("X-Added", "yes");
        assert!(response.fault().is_none() && response.headers().contains("x-added"));
    }
}

#[test]
fn a_101_gets_further_fields_and_nothing_else() {
    let (seen, response) = run(nothing, |r| _ = r.set_header("X-Id", "7"), open);
    assert_eq!(seen, ">a >b >c ask <c101 <b101 <a101");
    assert!(response.upgrade.is_some() && response.headers().contains("x-id"));
    let changes: [fn(&mut Response); 7] = [
        |r| _ = r.set_status(403),
        |r| _ = r.set_status(101).end("body"),
        |r| _ = r.set_header("upgrade", "h2c"),
        |r| _ = r.add_header("Upgrade", "h2c"),
        |r| _ = r.remove_header("sec-websocket-ACCEPT"),
        |r| _ = r.set_header("Sec-WebSocket-Extensions", "x"),
        |_| panic!("on purpose"),
    ];
    for (index, change) in changes.into_iter().enumerate() {
        let (seen, response) = run(nothing, change, open);
        assert!(seen.ends_with("<b101 <a500"), "{index}: {seen}");
        assert!(response.upgrade.is_none(), "{index}");
        assert_eq!(response.status(), 500, "{index}");
    }
}
