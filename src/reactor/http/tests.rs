//! What clients send, well-meaning and hostile, and what they get.

use proptest::prelude::*;

use super::request::{Head, read_head};
use super::*;
use crate::base::{Span, Time};

const NOW: Time = Time::from_micros(1_000_000);

fn head(text: &str) -> Result<Option<(Head, usize)>, Refusal> {
    read_head(text.as_bytes(), &["node.example".to_owned()])
}

fn status(text: &str) -> Status {
    head(text).expect_err(text).status
}

fn post(headers: &str) -> String {
    format!("POST / HTTP/1.1\r\nHost: 127.0.0.1:5336\r\n{headers}\r\n")
}

#[test]
fn an_ordinary_request_is_read() {
    let text = post("Content-Length: 12\r\nAuthorization: Basic eA==\r\n");
    let (head, length) = head(&text).unwrap().unwrap();
    assert_eq!(length, text.len());
    assert_eq!(head.path, "/");
    assert_eq!(head.method, Method::Post);
    assert_eq!(head.content_length, 12);
    assert_eq!(head.authorization.as_deref(), Some("Basic eA=="));
    assert!(head.keep_alive && !head.expects_continue);
}

#[test]
fn every_strict_prefix_waits_for_more() {
    let text = post("Content-Length: 12\r\n");
    for end in 0..text.len() {
        assert_eq!(head(&text[..end]), Ok(None), "{end}");
    }
}

#[test]
fn a_request_whose_end_is_in_doubt_is_refused() {
    let bad = Status::BadRequest;
    for (headers, wanted) in [
        ("Content-Length: 4\r\nContent-Length: 4\r\n", bad),
        ("Content-Length: 4\r\ncontent-length: 5\r\n", bad),
        ("Content-Length: 4, 4\r\n", bad),
        ("Content-Length: +4\r\n", bad),
        ("Content-Length: -1\r\n", bad),
        ("Content-Length: 0x4\r\n", bad),
        ("Content-Length: \r\n", bad),
        ("Content-Length: 4\r\nTransfer-Encoding: chunked\r\n", bad),
        ("Transfer-Encoding: chunked\r\n", Status::NotImplemented),
        ("Transfer-Encoding: xchunked\r\n", Status::NotImplemented),
        ("Transfer-Encoding: identity\r\n", Status::NotImplemented),
        ("Content-Length : 4\r\n", bad),
        ("Content-Length: 4\n", bad),
        ("Content-Length: 4\rX: y\r\n", bad),
        ("X: y\r\n Content-Length: 4\r\n", bad),
        ("X: y\r\n\tz\r\n", bad),
        ("X\0: y\r\nContent-Length: 4\r\n", bad),
        ("X: y\0z\r\nContent-Length: 4\r\n", bad),
        (": y\r\nContent-Length: 4\r\n", bad),
        ("", Status::LengthRequired),
        ("Content-Length: 8234511\r\n", Status::ContentTooLarge),
        (
            "Content-Length: 18446744073709551616\r\n",
            Status::ContentTooLarge,
        ),
        (
            "Content-Length: 99999999999999999999999\r\n",
            Status::ContentTooLarge,
        ),
        (
            "Expect: tea\r\nContent-Length: 4\r\n",
            Status::ExpectationFailed,
        ),
    ] {
        assert_eq!(status(&post(headers)), wanted, "{headers:?}");
    }
    assert_eq!(status("\r\n\r\nGET / HTTP/1.1\r\n\r\n"), bad);
    assert_eq!(status("GET / HTTP/1.1\nHost: 127.0.0.1\n\n"), bad);
    assert_eq!(
        status("GET http://127.0.0.1/ HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n"),
        bad
    );
    assert_eq!(
        status("GET / HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Length: 4\r\n\r\n"),
        bad
    );
    assert_eq!(status("GET / HTTP/2.0\r\nHost: 127.0.0.1\r\n\r\n"), bad);
    let put = "PUT / HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n";
    assert_eq!(status(put), Status::MethodNotAllowed);
}

#[test]
fn heads_have_caps() {
    let long = post(&format!("X: {}\r\n", "y".repeat(HEAD_BYTES_MAX)));
    assert_eq!(status(&long), Status::HeadersTooLarge);
    let many = post(&"X: y\r\n".repeat(HEADERS_MAX));
    assert_eq!(status(&many), Status::HeadersTooLarge);
    let enough = post(&format!(
        "Content-Length: 0\r\n{}",
        "X: y\r\n".repeat(HEADERS_MAX - 2)
    ));
    assert!(head(&enough).is_ok());
}

#[test]
fn a_web_page_can_not_reach_the_node() {
    for host in [
        "127.0.0.1",
        "127.0.0.1:5336",
        "localhost:1",
        "[::1]:5336",
        "[::1]",
        "NODE.example",
    ] {
        let text = format!("GET /healthy HTTP/1.1\r\nHost: {host}\r\n\r\n");
        assert!(matches!(head(&text), Ok(Some(_))), "{host}");
        let from_page = format!("GET / HTTP/1.1\r\nHost: {host}\r\nOrigin: http://x\r\n\r\n");
        assert_eq!(status(&from_page), Status::Forbidden);
    }
    for host in [
        "evil.example",
        "127.0.0.1.evil.example",
        "[::1",
        "[::1]x",
        "localhost:x",
        "",
    ] {
        let text = format!("GET / HTTP/1.1\r\nHost: {host}\r\n\r\n");
        assert_eq!(status(&text), Status::Forbidden, "{host}");
    }
    assert_eq!(status("GET / HTTP/1.1\r\n\r\n"), Status::Forbidden);
    let twice = "GET / HTTP/1.1\r\nHost: 127.0.0.1\r\nHost: evil.example\r\n\r\n";
    assert_eq!(status(twice), Status::BadRequest);
    assert!(head("GET / HTTP/1.0\r\n\r\n").is_ok());
}

fn answer(connection: &mut HttpConnection, body: &str) -> String {
    let response = HttpResponse::json(Status::Ok, body.as_bytes().to_vec());
    connection.respond(NOW, &response);
    taken(connection)
}

fn taken(connection: &mut HttpConnection) -> String {
    let text = String::from_utf8(connection.output().to_vec()).unwrap();
    connection.sent(NOW, text.len());
    text
}

#[test]
fn requests_in_one_stream_are_served_in_turn() {
    let mut connection = HttpConnection::new(NOW);
    let first = post("Content-Length: 3\r\n") + "one";
    let second = post("Content-Length: 3\r\nConnection: close\r\n") + "two";
    connection.receive(NOW, (first + &second + "rest").as_bytes());
    assert_eq!(connection.next_request(NOW, &[]).unwrap().body, b"one");
    assert!(
        connection.next_request(NOW, &[]).is_none(),
        "the first is not answered yet"
    );
    assert!(connection.is_waiting() && connection.deadline().is_none());
    let text = answer(&mut connection, "{}");
    assert!(text.starts_with("HTTP/1.1 200 OK\r\n"), "{text}");
    assert!(
        text.contains("Content-Length: 2\r\n") && text.ends_with("\r\n\r\n{}"),
        "{text}"
    );
    assert!(!text.contains("Connection: close"));
    assert_eq!(connection.next_request(NOW, &[]).unwrap().body, b"two");
    assert!(!connection.is_over());
    assert!(answer(&mut connection, "{}").contains("Connection: close"));
    assert!(connection.is_over() && connection.next_request(NOW, &[]).is_none());
    assert_eq!(connection.room(), 0);
}

#[test]
fn a_client_that_waits_to_send_its_body_is_told_to() {
    let mut connection = HttpConnection::new(NOW);
    connection.receive(
        NOW,
        post("Content-Length: 3\r\nExpect: 100-continue\r\n").as_bytes(),
    );
    assert!(connection.next_request(NOW, &[]).is_none());
    assert_eq!(taken(&mut connection), "HTTP/1.1 100 Continue\r\n\r\n");
    connection.receive(NOW, b"one");
    assert_eq!(connection.next_request(NOW, &[]).unwrap().body, b"one");
}

#[test]
fn a_refused_request_ends_the_connection() {
    let mut connection = HttpConnection::new(NOW);
    connection.receive(NOW, post("Content-Length: x\r\n").as_bytes());
    assert!(connection.next_request(NOW, &[]).is_none());
    let text = taken(&mut connection);
    assert!(
        text.starts_with("HTTP/1.1 400 ") && text.contains("Connection: close"),
        "{text}"
    );
    assert!(connection.is_over());
}

#[test]
fn half_a_request_does_not_hold_a_connection() {
    let mut connection = HttpConnection::new(NOW);
    connection.receive(NOW, b"POST / HTTP/1.1\r\n");
    let deadline = connection.deadline().unwrap();
    let later = NOW + Span::from_secs(9);
    connection.receive(later, b"Host: 127.0.0.1\r\n");
    assert_eq!(
        connection.deadline(),
        Some(deadline),
        "more bytes do not put it off"
    );
    assert!(!connection.time_out(deadline));
    assert!(taken(&mut connection).starts_with("HTTP/1.1 408 "));
    assert!(connection.is_over());
    assert!(
        HttpConnection::new(NOW).time_out(NOW),
        "nothing was sent: nothing to say"
    );
}

#[test]
fn a_large_body_needs_leave_and_one_that_is_too_large_gets_none() {
    let length = BODY_BYTES_MAX + 1;
    let head = post(&format!(
        "Content-Length: {length}\r\nExpect: 100-continue\r\n"
    ));
    let asking = || {
        let mut connection = HttpConnection::new(NOW);
        connection.receive(NOW, head.as_bytes());
        assert!(connection.next_request(NOW, &[]).is_none());
        assert!(connection.asks_leave() && !connection.receives_large_body());
        assert_eq!((connection.room(), connection.output()), (0, &b""[..]));
        connection
    };
    let mut connection = asking();
    connection.give_leave(NOW, true);
    assert!(!connection.asks_leave() && connection.receives_large_body());
    assert!(taken(&mut connection).starts_with("HTTP/1.1 100 "));
    assert_eq!(connection.room(), length);
    connection.receive(NOW, &vec![7; length]);
    let request = connection.next_request(NOW, &[]).unwrap();
    assert_eq!(request.body.len(), length);
    assert!(!connection.receives_large_body());

    let mut connection = asking();
    connection.give_leave(NOW, false);
    assert!(connection.next_request(NOW, &[]).is_none());
    assert!(taken(&mut connection).starts_with("HTTP/1.1 503 "));
    assert!(connection.is_over());

    let mut connection = HttpConnection::new(NOW);
    let length = LARGE_BODY_BYTES_MAX + 1;
    let head = post(&format!("Content-Length: {length}\r\n"));
    connection.receive(NOW, head.as_bytes());
    assert!(connection.next_request(NOW, &[]).is_none());
    assert!(taken(&mut connection).starts_with("HTTP/1.1 413 "));
}

proptest! {
    #[test]
    fn no_bytes_harm_the_parser(bytes in proptest::collection::vec(any::<u8>(), 0..400)) {
        let mut connection = HttpConnection::new(NOW);
        connection.receive(NOW, &bytes);
        connection.next_request(NOW, &[]);
    }

    #[test]
    fn how_a_request_is_cut_makes_no_difference(
        body in proptest::collection::vec(any::<u8>(), 0..64),
        cuts in proptest::collection::vec(1_usize..9, 1..80),
    ) {
        let mut bytes = post(&format!("Content-Length: {}\r\n", body.len())).into_bytes();
        bytes.extend_from_slice(&body);
        let mut connection = HttpConnection::new(NOW);
        let (mut rest, mut cuts, mut found) = (&bytes[..], cuts.into_iter().cycle(), None);
        while !rest.is_empty() {
            prop_assert!(found.is_none(), "given out before its end");
            let (part, after) = rest.split_at(cuts.next().unwrap_or(1).min(rest.len()));
            connection.receive(NOW, part);
            found = connection.next_request(NOW, &[]);
            rest = after;
        }
        prop_assert_eq!(found.map(|request| request.body), Some(body));
    }
}
