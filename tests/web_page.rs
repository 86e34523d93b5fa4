//! The map page's server on real sockets, with the committed folders, and a stand-in for the broker. The page itself in a
//! browser is tested by `web/tests`.
#![cfg(feature = "web")]

use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use futures_util::{SinkExt as _, StreamExt as _};
use geosam_edge::bus::BrokerUrl;
use geosam_edge::catalog::Folder;
use geosam_edge::engine::ServedFolder;
use geosam_edge::service::ShownFolder;
use geosam_edge::web::{WebOptions, WebServer};
use serde_json::{Value, json};
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::tungstenite::client::IntoClientRequest as _;

fn committed(path: &str) -> Arc<ServedFolder> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join(path);
    let folder = Folder::discover(&path).unwrap().into_folders().unwrap().remove(0);
    Arc::new(ServedFolder::new("demo".to_owned(), folder))
}

fn shown() -> Vec<ShownFolder> {
    let ready = ShownFolder {
        name: "demo".to_owned(),
        folder: Some(committed("models/demo/features")),
        takes_masks: false,
        problem: None,
    };
    let problem = Some(json!({"code": "CARD_ERROR", "message": "it cannot be read"}));
    vec![ready, ShownFolder { name: "worn".to_owned(), folder: None, takes_masks: false, problem }]
}

fn options(broker: u16) -> WebOptions {
    let broker = BrokerUrl { tls: false, host: "127.0.0.1".to_owned(), port: broker };
    WebOptions::new(SocketAddr::from(([127, 0, 0, 1], 0)), broker)
}

fn server() -> WebServer {
    let folders = shown();
    WebServer::start(options(1), move || folders.clone()).unwrap()
}

struct Answer {
    status: u16,
    head: String,
    body: Vec<u8>,
}

impl Answer {
    fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap()
    }
}

/// Sends a request as it stands, and reads to the end of the connection.
fn raw(server: &WebServer, request: &str) -> Answer {
    let mut socket = TcpStream::connect(server.address()).unwrap();
    socket.set_read_timeout(Some(Duration::from_secs(60))).unwrap();
    socket.write_all(request.as_bytes()).unwrap();
    let mut bytes = Vec::new();
    socket.read_to_end(&mut bytes).unwrap();
    let end = bytes.windows(4).position(|four| four == b"\r\n\r\n").expect("a head");
    let head = String::from_utf8(bytes[..end].to_vec()).unwrap();
    let status = head.split(' ').nth(1).and_then(|code| code.parse().ok()).expect("a status");
    Answer { status, head: head.to_ascii_lowercase(), body: bytes.split_off(end + 4) }
}

fn get(server: &WebServer, path: &str, more: &str) -> Answer {
    raw(server, &format!("GET {path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n{more}\r\n"))
}

#[test]
fn the_page_comes_whole_or_compressed_with_a_policy_and_is_not_sent_twice() {
    let server = server();
    let page = get(&server, "/", "");
    assert_eq!(page.status, 200);
    assert!(page.head.contains("content-type: text/html") && page.body.starts_with(b"<!doctype html>"));
    assert!(
        page.head.contains("content-security-policy: default-src 'self'; connect-src 'self'"),
        "{}",
        page.head
    );
    assert!(
        page.head.contains("frame-ancestors 'none'") && page.head.contains("x-content-type-options: nosniff")
    );
    let script = get(&server, "/page.js", "Accept-Encoding: gzip, deflate\r\n");
    assert!(
        script.head.contains("content-encoding: gzip") && script.body.len() < 225_000,
        "{}",
        script.body.len()
    );
    let mut plain = Vec::new();
    flate2::read::GzDecoder::new(&script.body[..]).read_to_end(&mut plain).unwrap();
    assert_eq!(plain, get(&server, "/page.js", "").body);
    let etag = script.head.lines().find_map(|line| line.strip_prefix("etag: ")).expect("an ETag").to_owned();
    let again = get(&server, "/page.js", &format!("If-None-Match: {etag}\r\n"));
    assert_eq!((again.status, again.body.len()), (304, 0));
    assert!(String::from_utf8(get(&server, "/licences.txt", "").body).unwrap().contains("ol 10"));
}

#[test]
fn what_is_not_there_and_paths_that_lead_elsewhere_are_refused() {
    let server = server();
    for path in [
        "/nothing",
        "/../Cargo.toml",
        "/%2e%2e/Cargo.toml",
        "/tiles/nowhere/0/0/0.png",
        "/tiles/demo/9/0/0.png",
        "/tiles/demo/0/1/0.png",
        "/tiles/..%2f..%2fdemo/0/0/0.png",
        "/tiles/demo/0/0/0.png/more",
        "/api/folders/worn/chips.geojson",
        "/api/folders/nowhere/chips.geojson",
    ] {
        assert_eq!(get(&server, path, "").status, 404, "{path}");
    }
    assert_eq!(
        raw(&server, "POST /page.js HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n").status,
        405
    );
    assert_eq!(raw(&server, "GET / HTTP/1.1\r\nConnection: close\r\n\r\n").status, 421, "without a host");
    let long = format!("GET / HTTP/1.1\r\nHost: localhost\r\nX: {}\r\n\r\n", "x".repeat(40_000));
    assert_eq!(raw(&server, &long).status, 431);
    assert_eq!(get(&server, "/", "").status, 200, "and it goes on");
}

#[test]
fn a_foreign_name_and_a_foreign_page_get_nothing() {
    let server = server();
    let rebound =
        raw(&server, "GET /api/folders HTTP/1.1\r\nHost: evil.example\r\nConnection: close\r\n\r\n");
    assert_eq!(rebound.status, 421);
    assert!(String::from_utf8(rebound.body).unwrap().contains("web.hosts"));
    assert_eq!(get(&server, "/api/folders", "Origin: http://evil.example\r\n").status, 403);
    assert_eq!(get(&server, "/api/folders", "Origin: null\r\n").status, 403);
    assert_eq!(get(&server, "/api/folders", "Origin: http://localhost\r\n").status, 200);
}

#[test]
fn folders_are_told_with_their_grids_and_their_problems() {
    let server = server();
    let told = get(&server, "/api/folders", "").json();
    assert_eq!((&told["root"], &told["device"]), (&json!("geosam"), &json!("edge")));
    let demo = &told["folders"][0];
    assert_eq!(
        (&demo["name"], &demo["ready"], &demo["model"]),
        (&json!("demo"), &json!(true), &json!("demo.pt"))
    );
    assert_eq!((&demo["crs"]["epsg"], &demo["crs"]["unit"]), (&json!(32632), &json!("m")));
    let raster = &demo["raster"];
    assert_eq!(
        (&raster["width"], &raster["height"], &raster["levels"]),
        (&json!(2048), &json!(1536), &json!(4))
    );
    assert_eq!(raster["affine"][0], json!(0.5));
    assert_eq!(raster.get("progress"), None);
    assert_eq!(demo["refine"], false);
    let worn = &told["folders"][1];
    assert_eq!((&worn["ready"], &worn["problem"]["code"]), (&json!(false), &json!("CARD_ERROR")));
    let text = told.to_string();
    assert!(!text.contains(env!("CARGO_MANIFEST_DIR")), "where things lie on the board is nobody's business");

    let chips = get(&server, "/api/folders/demo/chips.geojson", "").json();
    let features = chips["features"].as_array().unwrap();
    assert_eq!(features.len(), 6);
    let ring = features[0]["geometry"]["coordinates"][0].as_array().unwrap();
    assert_eq!((ring.len(), &ring[0]), (5, &ring[4]));
}

#[test]
fn tiles_are_the_rasters_own_pixels_and_the_far_ones_its_means() {
    let server = server();
    let tile = |z: u32, x: u32, y: u32| {
        let answer = get(&server, &format!("/tiles/demo/{z}/{x}/{y}.png?v=1"), "");
        assert_eq!(answer.status, 200, "{z} {x} {y}");
        let mut reader = png::Decoder::new(std::io::Cursor::new(answer.body)).read_info().unwrap();
        let mut pixels = vec![0; reader.output_buffer_size().unwrap()];
        let info = reader.next_frame(&mut pixels).unwrap();
        assert_eq!((info.width, info.height), (256, 256));
        let channels = if info.color_type == png::ColorType::Rgba { 4 } else { 3 };
        move |column: usize, row: usize| pixels[(row * 256 + column) * channels..][..channels].to_vec()
    };
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("models/demo/scene.tif");
    let mut decoder = tiff::decoder::Decoder::new(std::fs::File::open(path).unwrap()).unwrap();
    let tiff::decoder::DecodingResult::U8(scene) = decoder.read_image().unwrap() else { panic!("bytes") };
    let pixel = |column: usize, row: usize| &scene[(row * 2048 + column) * 3..][..3];
    let near = tile(3, 5, 4);
    for (column, row) in [(0, 0), (255, 255), (17, 200)] {
        assert_eq!(near(column, row), pixel(5 * 256 + column, 4 * 256 + row));
    }
    let half = tile(2, 1, 0);
    let four = [(0, 0), (1, 0), (0, 1), (1, 1)].map(|(c, r)| u32::from(pixel(512 + 20 + c, 60 + r)[0]));
    assert_eq!(u32::from(half(10, 30)[0]), four.iter().sum::<u32>() / 4);
    // The raster fills three quarters of the first tile; nothing is below it.
    let far = tile(0, 0, 0);
    assert_eq!((far(255, 191)[3], &far(255, 192)[..]), (255, &[0, 0, 0, 0][..]));
}

#[test]
fn positions_are_taken_to_the_folders_crs() {
    let server = server();
    let ask = |body: &str| {
        let length = body.len();
        let head = "POST /api/folders/demo/from-wgs84 HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n";
        raw(&server, &format!("{head}Content-Length: {length}\r\n\r\n{body}"))
    };
    // By pyproj: EPSG:4326 to EPSG:32632.
    let there = ask("[9.0, 0.0, 9.17211953, 47.65281208]").json();
    assert!((there[0].as_f64().unwrap() - 500_000.0).abs() < 1e-3, "{there}");
    assert_eq!(ask("[1]").status, 422);
    assert_eq!(ask("{}").status, 422);
    assert_eq!(ask("[[9, 0]]").status, 422);
    assert_eq!(get(&server, "/api/folders/demo/from-wgs84", "").status, 405);
}

#[cfg(feature = "gpkg")]
#[test]
fn objects_that_are_sent_come_back_as_a_geopackage_and_leave_nothing_on_the_card() {
    let state = tempfile::tempdir().unwrap();
    let left = state.path().join("page");
    std::fs::create_dir(&left).unwrap();
    std::fs::write(left.join("objects.geojsonl"), "of an earlier run").unwrap();
    let with = WebOptions { state: Some(state.path().to_owned()), ..options(1) };
    let server = WebServer::start(with, Vec::new).unwrap();
    assert!(!left.exists());
    assert_eq!(get(&server, "/api/folders", "").json()["geopackage_bytes"], json!(32 << 20));
    let ask = |server: &WebServer, layer: &str, body: &str, more: &str| {
        let head = format!(
            "POST /api/geopackage/{layer} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\nContent-Length: {}\r\n",
            body.len()
        );
        raw(server, &format!("{head}{more}\r\n{body}"))
    };
    let pond = r#"{"type":"Feature","id":"a","geometry":{"type":"Polygon","coordinates":[[[9,47],[9.1,47],[9.1,47.1],[9,47]]]},"properties":{"kind":"pond","score":0.5}}"#;
    let answer = ask(&server, "ponds", &format!("{pond}\n{}\n", pond.replace("\"a\"", "\"b\"")), "");
    assert_eq!(answer.status, 200);
    assert!(
        answer.head.contains("content-type: application/geopackage+sqlite3")
            && answer.head.contains("filename=\"ponds.gpkg\"")
            && answer.head.contains("cache-control: no-store"),
        "{}",
        answer.head
    );
    assert_eq!(std::fs::read_dir(state.path()).unwrap().count(), 0, "nothing is left");
    let file = state.path().join("got.gpkg");
    std::fs::write(&file, &answer.body).unwrap();
    let database = rusqlite::Connection::open(&file).unwrap();
    let text = |sql: &str| database.query_row(sql, [], |row| row.get::<_, String>(0)).unwrap();
    assert_eq!(text("SELECT table_name FROM gpkg_contents WHERE data_type = 'features'"), "ponds");
    assert_eq!(text("SELECT group_concat(kind || score) FROM ponds"), "pond0.5,pond0.5");
    assert_eq!(text("PRAGMA integrity_check"), "ok");

    // Words that say what is wrong, and not where things lie on the board.
    for (layer, body, status, told) in [
        ("ponds", "", 422, "it is empty"),
        ("ponds", "no feature\n", 422, "it is not JSON"),
        ("gpkg_contents", pond, 422, "gpkg_contents"),
        ("..", pond, 404, "no such thing"),
    ] {
        let answer = ask(&server, layer, body, "");
        let text = String::from_utf8(answer.body).unwrap();
        assert_eq!(answer.status, status, "{text}");
        assert!(text.contains(told) && !text.contains(state.path().to_str().unwrap()), "{text}");
    }
    assert_eq!(ask(&server, "ponds", pond, "Origin: http://evil.example\r\n").status, 403);
    assert_eq!(get(&server, "/api/geopackage/ponds", "").status, 405);
    let large = "POST /api/geopackage/ponds HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\nContent-Length: 99999999\r\n\r\n";
    assert_eq!(raw(&server, large).status, 413);
    let cut = "POST /api/geopackage/ponds HTTP/1.1\r\nHost: localhost\r\nContent-Length: 1000\r\n\r\n{";
    let mut socket = TcpStream::connect(server.address()).unwrap();
    socket.write_all(cut.as_bytes()).unwrap();
    // While one is under way nobody else has a turn; its end gives it back.
    while ask(&server, "ponds", pond, "").status != 503 {}
    drop(socket);
    while ask(&server, "ponds", pond, "").status != 200 {}
    std::fs::remove_file(&file).unwrap();
    assert_eq!(std::fs::read_dir(state.path()).unwrap().count(), 0);

    let without = self::server();
    assert_eq!(get(&without, "/api/folders", "").json().get("geopackage_bytes"), None);
    assert_eq!(ask(&without, "ponds", pond, "").status, 404);
}

#[test]
fn without_the_password_nothing_is_seen() {
    let file = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(file.path(), "sesame\n").unwrap();
    let folders = shown();
    let with = WebOptions { password_file: Some(file.path().to_owned()), ..options(1) };
    let server = WebServer::start(with, move || folders.clone()).unwrap();
    for path in ["/", "/page.js", "/api/folders", "/tiles/demo/0/0/0.png", "/mqtt"] {
        let refused = get(&server, path, "");
        assert_eq!(refused.status, 401, "{path}");
        assert!(refused.head.contains("www-authenticate: basic"), "{}", refused.head);
    }
    let wrong = data_encoding::BASE64.encode(b"me:sesam");
    assert_eq!(get(&server, "/", &format!("Authorization: Basic {wrong}\r\n")).status, 401);
    let right = data_encoding::BASE64.encode(b"me:sesame");
    let opened = get(&server, "/", &format!("Authorization: Basic {right}\r\n"));
    assert_eq!(opened.status, 200);
    let cookie = opened.head.lines().find_map(|line| line.strip_prefix("set-cookie: ")).expect("a cookie");
    let cookie = cookie.split(';').next().unwrap();
    assert_eq!(get(&server, "/api/folders", &format!("Cookie: {cookie}\r\n")).status, 200);
}

/// A broker's socket that echoes, each byte in a segment of its own where `cut` says so.
fn echo(cut: bool) -> u16 {
    let listener = TcpListener::bind(("127.0.0.1", 0)).unwrap();
    let port = listener.local_addr().unwrap().port();
    std::thread::spawn(move || {
        for socket in listener.incoming() {
            let mut socket = socket.unwrap();
            std::thread::spawn(move || {
                let mut buffer = [0; 4096];
                while let Ok(count @ 1..) = socket.read(&mut buffer) {
                    for part in buffer[..count].chunks(if cut { 1 } else { 4096 }) {
                        socket.write_all(part).unwrap();
                    }
                    if buffer[..count].contains(&0xFF) {
                        return;
                    }
                }
            });
        }
    });
    port
}

type Client = tokio_tungstenite::WebSocketStream<tokio::net::TcpStream>;

async fn open(server: &WebServer, headers: &[(&'static str, &str)]) -> Result<Client, u16> {
    let mut request = format!("ws://{}/mqtt", server.address()).into_client_request().unwrap();
    for &(name, value) in headers {
        request.headers_mut().insert(name, value.parse().unwrap());
    }
    let socket = tokio::net::TcpStream::connect(server.address()).await.unwrap();
    match tokio_tungstenite::client_async(request, socket).await {
        Ok((client, answer)) => {
            assert_eq!(answer.headers()["sec-websocket-protocol"], "mqtt");
            Ok(client)
        }
        Err(tokio_tungstenite::tungstenite::Error::Http(answer)) => Err(answer.status().as_u16()),
        Err(other) => panic!("{other}"),
    }
}

const MQTT: (&str, &str) = ("sec-websocket-protocol", "mqtt");

#[tokio::test]
async fn bytes_pass_to_the_broker_and_back_however_they_are_cut_and_an_end_is_an_end() {
    for cut in [false, true] {
        let server = WebServer::start(options(echo(cut)), Vec::new).unwrap();
        let origin = format!("http://{}", server.address());
        let mut client = open(&server, &[MQTT, ("origin", &origin)]).await.unwrap();
        let sent: Vec<u8> = (0..3000_u32).map(|i| (i % 251) as u8).collect();
        for part in sent.chunks(7) {
            client.send(Message::binary(part.to_vec())).await.unwrap();
        }
        let mut received = Vec::new();
        while received.len() < sent.len() {
            received.extend(client.next().await.unwrap().unwrap().into_data());
        }
        assert_eq!(received, sent);
        // The broker hangs up.
        client.send(Message::binary(vec![0xFF])).await.unwrap();
        let rest: Vec<_> = client.collect().await;
        assert!(matches!(rest.last(), Some(Ok(Message::Close(_)))), "{rest:?}");
    }
}

#[tokio::test]
async fn a_socket_that_is_not_mqtt_or_of_a_foreign_page_or_has_no_broker_is_refused() {
    let server = WebServer::start(options(echo(false)), Vec::new).unwrap();
    assert_eq!(open(&server, &[]).await.unwrap_err(), 400);
    assert_eq!(open(&server, &[("sec-websocket-protocol", "chat")]).await.unwrap_err(), 400);
    assert_eq!(open(&server, &[MQTT, ("origin", "http://evil.example")]).await.unwrap_err(), 403);
    assert_eq!(open(&server, &[MQTT, ("host", "evil.example")]).await.unwrap_err(), 421);
    let mut text = open(&server, &[MQTT]).await.unwrap();
    text.send(Message::text("hello")).await.unwrap();
    assert!(!matches!(text.next().await, Some(Ok(Message::Text(_) | Message::Binary(_)))), "MQTT is binary");
    let lonely = WebServer::start(options(1), Vec::new).unwrap();
    assert_eq!(open(&lonely, &[MQTT]).await.unwrap_err(), 502);
}

#[tokio::test]
async fn pages_are_bounded_and_a_place_is_free_again_when_one_leaves() {
    let server = WebServer::start(options(echo(false)), Vec::new).unwrap();
    let mut clients = Vec::new();
    for _ in 0..32 {
        clients.push(open(&server, &[MQTT]).await.unwrap());
    }
    assert_eq!(open(&server, &[MQTT]).await.unwrap_err(), 503);
    clients.pop().unwrap().close(None).await.unwrap();
    loop {
        match open(&server, &[MQTT]).await {
            Ok(_) => break,
            Err(status) => assert_eq!(status, 503),
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

#[test]
fn an_address_that_is_taken_is_named_and_a_server_that_ends_gives_its_own_back() {
    let first = server();
    let same = WebOptions { listen: first.address(), ..options(1) };
    let error = WebServer::start(same.clone(), Vec::new).unwrap_err().to_string();
    assert!(error.contains(&first.address().to_string()) && error.contains("--web"), "{error}");
    drop(first);
    assert!(WebServer::start(same, Vec::new).is_ok());
}
