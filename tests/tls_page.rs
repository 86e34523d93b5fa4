//! docs/tls.md, followed by the letter: its commands with the real openssl and mosquitto, on directories of the test's.

#[path = "support/mosquitto.rs"]
mod mosquitto;
#[path = "support/service.rs"]
mod service;

use std::fs;
use std::net::TcpStream;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::time::{Duration, Instant};

use mosquitto::{free_port, is_installed, patience, program};
use service::{Board, fixture};

/// The blocks of a kind in the page, in order.
fn blocks(kind: &str) -> Vec<String> {
    let page = fs::read_to_string(root().join("docs/tls.md")).unwrap();
    let fence = format!("```{kind}\n");
    let parts = page.split(fence.as_str()).skip(1);
    parts.map(|part| part[..part.find("```").unwrap_or(part.len())].to_owned()).collect()
}

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).to_owned()
}

/// A machine as the page has it, in a directory.
struct Machine {
    dir: tempfile::TempDir,
    port: u16,
    broker: Option<Child>,
}

impl Machine {
    fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        for place in ["etc/mosquitto/certs", "etc/mosquitto/conf.d", "etc/geosam-edge", "var"] {
            fs::create_dir_all(dir.path().join(place)).unwrap();
        }
        Self { dir, port: free_port(), broker: None }
    }

    fn path(&self, below: &str) -> String {
        self.dir.path().join(below).display().to_string()
    }

    /// A text of the page with this machine's places, names and ports.
    fn here(&self, text: &str) -> String {
        let packaging = root().join("packaging/mosquitto").display().to_string();
        text.replace("/usr/share/geosam-edge/mosquitto", &packaging)
            .replace("/etc/", &self.path("etc/"))
            .replace("~/", &self.path(""))
            .replace("-h broker.lan -p 8883", &format!("-h localhost -p {}", self.port))
            .replace("broker.lan:8883", &format!("localhost:{}", self.port))
            // Who runs the test is not root, and there are no such users.
            .replace("sudo systemctl restart mosquitto", "")
            .replace("sudo ", "")
            .replace("-o mosquitto ", "")
            .replace("-o geosam-edge ", "")
    }

    fn shell(&self, text: &str) -> Output {
        let certificates = self.dir.path().join("geosam-certificates");
        let place = if certificates.is_dir() { certificates } else { self.dir.path().to_owned() };
        let mut command = Command::new("sh");
        command.args(["-euc", &self.here(text)]).current_dir(place).stdin(Stdio::null());
        command.output().unwrap()
    }

    fn done(&self, text: &str) -> String {
        let output = self.shell(text);
        let told = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "{text}\n{told}");
        String::from_utf8_lossy(&output.stdout).into_owned()
    }

    /// Debian's mosquitto.conf, and what the page has put beside it.
    fn start_broker(&mut self) {
        let drop_in = self.dir.path().join("etc/mosquitto/conf.d/geosam-edge.conf");
        let text = fs::read_to_string(&drop_in).unwrap();
        assert!(text.contains("\nlistener 8883\n"));
        let listener = format!("\nlistener {} 127.0.0.1\n", self.port);
        fs::write(drop_in, text.replace("\nlistener 8883\n", &listener).replace("/etc/", &self.path("etc/")))
            .unwrap();
        let main = format!(
            "user root\npersistence true\npersistence_location {}/\nlog_dest file {}\ninclude_dir {}\n",
            self.path("var"),
            self.path("log"),
            self.path("etc/mosquitto/conf.d")
        );
        fs::write(self.dir.path().join("mosquitto.conf"), main).unwrap();
        let mut command = Command::new(program("mosquitto"));
        command.args(["-c", &self.path("mosquitto.conf")]).stdout(Stdio::null()).stderr(Stdio::null());
        self.broker = Some(command.spawn().unwrap());
        let start = Instant::now();
        while TcpStream::connect(("127.0.0.1", self.port)).is_err() {
            assert!(start.elapsed() < patience(), "mosquitto does not start:\n{}", self.log());
            std::thread::sleep(Duration::from_millis(20));
        }
    }

    fn log(&self) -> String {
        fs::read_to_string(self.dir.path().join("log")).unwrap_or_default()
    }

    /// What a user hears on a topic within two seconds.
    fn heard(&self, user: &str, topic: &str) -> String {
        let output = self.shell(&format!("mosquitto_sub {} -t '{topic}' -v -W 2", flags(user)));
        String::from_utf8_lossy(&output.stdout).into_owned()
    }

    /// Whether a user may publish on a topic.
    fn may_publish(&self, user: &str, topic: &str) -> bool {
        let output =
            self.shell(&format!("mosquitto_pub {} -V mqttv5 -q 1 -t {topic} -m '{{}}'", flags(user)));
        !String::from_utf8_lossy(&output.stderr).contains("Not authorized") && output.status.success()
    }
}

fn flags(user: &str) -> String {
    format!("-h broker.lan -p 8883 --cafile ca.pem --cert {user}.pem --key {user}.key")
}

impl Drop for Machine {
    fn drop(&mut self) {
        if let Some(broker) = &mut self.broker {
            let _ = broker.kill();
            let _ = broker.wait();
        }
        if std::thread::panicking() {
            eprintln!("the broker's log:\n{}", self.log());
        }
    }
}

#[test]
fn who_follows_the_page_has_a_board_and_a_client_that_know_each_other_and_nobody_else() {
    if !is_installed("mosquitto") {
        assert!(std::env::var_os("GEOSAM_REQUIRE_MOSQUITTO").is_none(), "mosquitto is not installed");
        eprintln!("SKIPPED: mosquitto is not installed");
        return;
    }
    let mut machine = Machine::new();
    let steps = blocks("sh");
    let [certificates, broker, board, who, ask] = &steps[..] else { panic!("{} steps", steps.len()) };
    machine.done(certificates);
    for file in ["ca", "broker", "page", "board-7", "survey"] {
        let text = machine.done(&format!("openssl x509 -noout -text -in {file}.pem"));
        assert!(text.contains("Version: 3 (0x2)"), "{text}");
        assert_eq!(text.contains("Subject Alternative Name"), file != "ca", "{text}");
    }
    machine.done(broker);
    machine.done(board);
    // What the page says of shutting out.
    let denied = blocks("").into_iter().find(|block| block.starts_with("user survey")).unwrap();
    let acl = machine.dir.path().join("etc/mosquitto/geosam-edge.acl");
    fs::write(&acl, fs::read_to_string(&acl).unwrap() + "\n" + &denied).unwrap();
    machine.done("/usr/share/geosam-edge/mosquitto/certificates.sh user lost-tablet");
    machine.start_broker();

    let settings = machine.here(&blocks("toml")[0]);
    let (before, of_broker) = settings.split_once("[broker]\n").unwrap();
    assert_eq!(before.trim(), "device = \"board-7\"");
    let (url, more) = of_broker.split_once('\n').unwrap();
    let url = url.trim_start_matches("url = ").trim_matches('"');
    let mut board = Board::configured(url, "board-7", &fixture("folder_sam"), &fixture("models"), more);
    board.start();
    board.wait_for_log("connected to the broker");

    let start = Instant::now();
    // mosquitto_sub ends with a status of its own when its time is over.
    while String::from_utf8_lossy(&machine.shell(who).stdout).trim() != "geosam/board-7/state online" {
        assert!(start.elapsed() < patience(), "the board is not online");
    }
    let answer: serde_json::Value = serde_json::from_str(&machine.done(ask)).unwrap();
    assert_eq!((&answer["id"], &answer["status"]), (&"1".into(), &"ok".into()));
    assert!(machine.heard("survey", "geosam/board-7/folder/+").contains("geosam/board-7/folder/folder_sam"));

    // Nobody speaks or hears for another.
    assert!(machine.may_publish("survey", "geosam/board-7/request/survey/list"));
    for topic in [
        "request/other/list",
        "request/survey/delete",
        "request/survey/update",
        "state",
        "response/survey/list",
    ] {
        assert!(!machine.may_publish("survey", &format!("geosam/board-7/{topic}")), "{topic}");
    }
    assert!(!machine.may_publish("board-7", "geosam/board-8/state"));
    assert!(machine.may_publish("board-7", "geosam/fleet/survey/response/survey/segment"));
    assert!(!machine.may_publish("lost-tablet", "geosam/board-7/request/lost-tablet/list"));
    assert_eq!(machine.heard("lost-tablet", "geosam/+/state"), "");
    let anonymous = machine.shell("mosquitto_sub -h broker.lan -p 8883 --cafile ca.pem -t '#' -W 2");
    assert!(!anonymous.status.success() && anonymous.stdout.is_empty());
    assert!(machine.log().contains("peer did not return a certificate"), "{}", machine.log());
    // The board may do all that it wants to.
    assert!(
        !board.log().contains("does not let the board") && !board.log().contains("refuses"),
        "{}",
        board.log()
    );
}

#[test]
fn who_follows_the_page_with_passwords_has_a_board_and_a_client_with_rights_of_their_own() {
    if !is_installed("mosquitto") {
        assert!(std::env::var_os("GEOSAM_REQUIRE_MOSQUITTO").is_none(), "mosquitto is not installed");
        eprintln!("SKIPPED: mosquitto is not installed");
        return;
    }
    let mut machine = Machine::new();
    let steps = blocks("sh");
    machine.done(&steps[0]);
    machine.done(&steps[1]);
    machine.done("install -m 644 ca.pem /etc/geosam-edge/");
    let drop_in = machine.dir.path().join("etc/mosquitto/conf.d/geosam-edge.conf");
    let mut text = fs::read_to_string(&drop_in).unwrap();
    for setting in ["require_certificate true\n", "use_identity_as_username true\n"] {
        assert!(text.contains(setting));
        text = text.replace(setting, "");
    }
    fs::write(&drop_in, text + "password_file /etc/mosquitto/geosam-edge.passwords\n").unwrap();
    // The page's commands ask for the passwords.
    let made = blocks("").into_iter().find(|block| block.contains("mosquitto_passwd")).unwrap();
    for line in made.lines().filter(|line| line.contains("mosquitto_passwd ")) {
        machine.done(&format!(
            "{} 'word of {}'",
            line.replace("mosquitto_passwd ", "mosquitto_passwd -b "),
            user_of(line)
        ));
    }
    let own = blocks("").into_iter().find(|block| block.contains("/etc/geosam-edge/password")).unwrap();
    machine.done(&own.replace("the password of board-7", "word of board-7"));
    machine.start_broker();

    let settings = machine.here(&blocks("toml")[1]);
    let (_, of_broker) = settings.split_once("[broker]\n").unwrap();
    let (url, more) = of_broker.split_once('\n').unwrap();
    let url = url.trim_start_matches("url = ").trim_matches('"');
    let mut board = Board::configured(url, "board-7", &fixture("folder_sam"), &fixture("models"), more);
    board.start();
    board.wait_for_log("connected to the broker");
    let as_survey = |password: &str| {
        let flags = format!("-h broker.lan -p 8883 --cafile ca.pem -u survey -P '{password}'");
        let heard = machine.shell(&format!("mosquitto_sub {flags} -t 'geosam/board-7/folder/+' -v -W 2"));
        String::from_utf8_lossy(&heard.stdout).into_owned()
    };
    let start = Instant::now();
    while !as_survey("word of survey").contains("geosam/board-7/folder/folder_sam") {
        assert!(start.elapsed() < patience(), "the client hears nothing: {}", machine.log());
    }
    assert_eq!(as_survey("another word"), "");
}

/// The user that a line of `mosquitto_passwd` is for.
fn user_of(line: &str) -> &str {
    line.split_whitespace().last().unwrap()
}

#[test]
fn what_lies_there_is_not_written_over() {
    let machine = Machine::new();
    fs::create_dir(machine.dir.path().join("geosam-certificates")).unwrap();
    let script = "/usr/share/geosam-edge/mosquitto/certificates.sh";
    let refused = |arguments: &str| {
        let output = machine.shell(&format!("{script} {arguments}"));
        assert!(!output.status.success());
        String::from_utf8_lossy(&output.stderr).into_owned()
    };
    assert!(refused("user a").contains("there is no ca.key here"));
    machine.done(&format!("{script} authority"));
    assert!(refused("authority").contains("ca.pem is there"));
    machine.done(&format!("{script} user a"));
    assert!(refused("user a").contains("a.pem is there"));
    assert!(refused("user 'a b'").contains("a user has a name of"));
    assert!(refused("").contains("certificates.sh broker NAME_OR_ADDRESS"));
    let names = machine
        .done(&format!("{script} broker broker.lan 192.168.1.10; openssl x509 -noout -text -in broker.pem"));
    assert!(names.contains("DNS:broker.lan, IP Address:192.168.1.10"), "{names}");
}
