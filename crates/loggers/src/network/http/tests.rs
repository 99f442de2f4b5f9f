use std::sync::Mutex;

use insta::assert_snapshot;
use serde_json::json;

use super::*;
use crate::network::test_server::{Fault, TestServer};

const TOKEN: &str = "token/1";

fn client(server: &TestServer) -> Client {
    Client::new(&server.address, Auth::Header("x-write-token", Secret::new(TOKEN)))
}

/// A server that returns the request.
fn echo() -> TestServer {
    TestServer::start(|request| {
        let body = String::from_utf8_lossy(&request.body).into_owned();
        (200, json!({"method": request.method, "token": request.header("x-write-token"), "body": body}))
    })
}

#[test]
fn a_refusal_names_the_address_and_no_secret() {
    let server = TestServer::start(|request| (400, json!({"message": format!("bad {}", request.header("authorization").unwrap())})));
    let client = Client::new(&server.address, Auth::Bearer(Secret::new("token-1")));
    let content = Content::Bytes { bytes: b"x", content_type: "text/plain" };
    let failure = client.send("PUT", "files/a?key=token-1", &[], content, Expect::Object).unwrap_err();
    assert_eq!(failure.status(), Some(400));
    let expected = format!(r#"PUT {}/files/a: status 400: {{"message":"bad Bearer [secret]"}}"#, server.address);
    assert_eq!(failure.reason(), expected);
    // Another server does not get the secret.
    let other = TestServer::start(|request| (200, json!({"seen": request.header("authorization")})));
    assert_eq!(client.get(&format!("{}/x", other.address)).unwrap(), json!({"seen": null}));
}

#[test]
fn a_redirect_keeps_method_and_content_or_is_a_failure() {
    let server = echo();
    let client = client(&server);
    for (status, to) in [(307, "/b".to_owned()), (308, "b".to_owned()), (307, format!("{}/c", server.address))] {
        server.fail([Fault::Redirect(status, to)]);
        let answer = client.post_json("a", &json!(1)).unwrap();
        assert_eq!(answer, json!({"method": "POST", "token": TOKEN, "body": "1"}), "{status}");
    }
    let told = [301, 302, 303].map(|status| {
        let before = server.received().len();
        server.fail([Fault::Redirect(status, "/login?next=secret".to_owned())]);
        let failure = client.post_json("a", &json!(1)).unwrap_err();
        assert!(matches!(failure, Failure::Retry { .. }), "{failure:?}");
        assert!(!failure.reason().contains("next="), "{failure:?}");
        assert_eq!(server.received().len(), before, "the page was not requested");
        server.fail([Fault::Redirect(status, "/b".to_owned())]);
        assert_eq!(client.get("a").unwrap()["method"], "GET");
        failure.reason().replace(&server.address, "[server]")
    });
    assert_snapshot!(told.join("\n"), @r"
    POST [server]/a: the server redirects to `[server]/login` with status 301, which drops the content of a request: nothing was sent; is the address right, and the login?
    POST [server]/a: the server redirects to `[server]/login` with status 302, which drops the content of a request: nothing was sent; is the address right, and the login?
    POST [server]/a: the server redirects to `[server]/login` with status 303, which drops the content of a request: nothing was sent; is the address right, and the login?
    ");
    server.fail((0..20).map(|_| Fault::Redirect(307, "/a".to_owned())));
    assert_snapshot!(client.get("a").unwrap_err().reason().replace(&server.address, "[server]"), @"GET [server]/a: the server redirects in a circle");
}

#[test]
fn no_secret_goes_to_another_server() {
    let (server, other) = (echo(), echo());
    let client = client(&server);
    let elsewhere = |path: &str| Fault::Redirect(307, format!("{}/{path}", other.address));
    // A request that needs the login is not sent, and the error contains a hint.
    server.fail([elsewhere("a"), elsewhere("a")]);
    let failures = [client.post_json("a", &json!(1)).unwrap_err(), client.get("a").unwrap_err()];
    let told = failures.map(|failure| failure.reason().replace(&server.address, "[server]").replace(&other.address, "[other]"));
    assert_snapshot!(told.join("\n"), @r"
    POST [server]/a: the server redirects to another server, `[other]/a`, which does not get the key or login: if it is the right server, give its address
    GET [server]/a: the server redirects to another server, `[other]/a`, which does not get the key or login: if it is the right server, give its address
    ");
    // A secret in the address or the content.
    let (address, body) = (format!("{}/a?key=token%2F1", server.address), json!({"key": TOKEN}));
    server.fail([elsewhere("a"), elsewhere("a")]);
    assert!(client.send("PUT", &address, &[], Content::Nothing, Expect::Stored).is_err());
    assert!(client.send("PUT", &format!("{}/a", server.address), &[], Content::Json(&body), Expect::Stored).is_err());
    assert_eq!(other.received().len(), 0);
    // A file goes to a store, without the login and without secret headers.
    server.fail([elsewhere("store?signature=x")]);
    let content = Content::Bytes { bytes: b"file", content_type: "text/plain" };
    client.send("PUT", "a", &[("x-kind", "block"), ("x-auth-key", "s")], content, Expect::Kept).unwrap();
    let received = other.received().pop().unwrap();
    assert_eq!((received.path.as_str(), received.body.as_slice()), ("/store?signature=x", b"file".as_slice()));
    assert_eq!(["x-write-token", "x-auth-key", "x-kind"].map(|name| received.header(name)), [None, None, Some("block")]);
    // The login is not sent again after a detour to the original server.
    server.fail([elsewhere("a")]);
    other.fail([Fault::Redirect(307, format!("{}/back", server.address))]);
    client.send("PUT", "a", &[], content, Expect::Kept).unwrap();
    assert_eq!(server.received().pop().unwrap().header("x-write-token"), None);
    // Without a login, the request contains no secret.
    server.fail([elsewhere("a")]);
    assert_eq!(Client::new(&server.address, Auth::None).post_json("a", &json!(1)).unwrap()["body"], "1");
}

#[test]
fn only_the_service_says_that_something_was_delivered() {
    let server = echo();
    let client = client(&server);
    let pages = [
        ("text/html", "<p>who is it?</p>"),
        ("text/plain", " <!DOCTYPE HTML><html>"),
        ("text/html; charset=UTF-8", ""),
        ("text/html; charset=UTF-8", "<?xml version='1.0' encoding='UTF-8'?>"),
        ("text/plain", ""),
        ("text/plain", "ok"),
        ("", "[1]"),
    ];
    let told = pages.map(|(kind, body)| {
        server.fail([Fault::Page(kind, body)]);
        let failure = client.post_json("a", &json!(1)).unwrap_err();
        assert!(matches!(failure, Failure::Retry { .. }), "{failure:?}");
        failure.reason().replace(&server.address, "[server]")
    });
    assert_snapshot!(told.join("\n"), @r"
    POST [server]/a: the answer is not one of the service (it is a web page): it may come from a login page or a proxy; is the address right?
    POST [server]/a: the answer is not one of the service (it is a web page): it may come from a login page or a proxy; is the address right?
    POST [server]/a: the answer is not one of the service (it is empty): it may come from a login page or a proxy; is the address right?
    POST [server]/a: the answer is not one of the service (it is not a JSON object: <?xml version='1.0' encoding='UTF-8'?>): it may come from a login page or a proxy; is the address right?
    POST [server]/a: the answer is not one of the service (it is empty): it may come from a login page or a proxy; is the address right?
    POST [server]/a: the answer is not one of the service (it is not a JSON object: ok): it may come from a login page or a proxy; is the address right?
    POST [server]/a: the answer is not one of the service (it is not a JSON object: [1]): it may come from a login page or a proxy; is the address right?
    ");
    // A store confirms only with its status, but does not return a web page.
    for (at, (kind, body)) in pages.into_iter().enumerate() {
        server.fail([Fault::Page(kind, body), Fault::Page(kind, body)]);
        let content = Content::Bytes { bytes: b"x", content_type: "" };
        assert_eq!(client.send("PUT", "a", &[], content, Expect::Stored).is_ok(), at > 1, "{kind} {body}");
        assert!(client.send("PUT", "a", &[], content, Expect::Kept).is_err());
    }
}

#[test]
fn a_login_that_is_refused_is_waited_out_by_its_own_server_only() {
    let status = std::sync::Arc::new(Mutex::new(401));
    let shown = std::sync::Arc::clone(&status);
    let server = TestServer::start(move |_| (*shown.lock().unwrap(), json!({})));
    let client = client(&server);
    let told = [401, 403, 407].map(|refused| {
        *status.lock().unwrap() = refused;
        let failure = client.post_json("a", &json!(1)).unwrap_err();
        assert!(matches!(failure, Failure::Retry { .. }), "{failure:?}");
        // A store may have another reason.
        let of_a_store = client.get(&format!("{}/a", server.address)).unwrap_err();
        assert_eq!(of_a_store.status(), Some(refused));
        failure.reason().replace(&server.address, "[server]")
    });
    assert_snapshot!(told.join("\n"), @r"
    POST [server]/a: status 401: {}: is the key, token or login right?
    POST [server]/a: status 403: {}: is the key, token or login right?
    POST [server]/a: status 407: {}: is the key, token or login right?
    ");
}

#[test]
fn a_login_in_two_ways_is_sent_and_never_shown() {
    let server = TestServer::start(|request| (400, json!(format!("{:?}", request.headers))));
    let login = Auth::Basic { user: "me".into(), password: "pass word".into() };
    let client = client(&server).also(login);
    let failure = client.post_json("a", &json!(1)).unwrap_err();
    let received = server.received().pop().unwrap();
    assert_eq!((received.header("x-write-token"), received.header("authorization")), (Some(TOKEN), Some("Basic bWU6cGFzcyB3b3Jk")));
    for secret in [TOKEN, "pass word", "bWU6cGFzcyB3b3Jk"] {
        assert!(!format!("{failure:?}{client:?}").contains(secret), "{failure:?}");
    }
}
