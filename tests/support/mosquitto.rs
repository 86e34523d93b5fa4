//! Debian's mosquitto: the broker, and its command line clients as the peer.
//!
//! Include it with `#[path = "support/mosquitto.rs"] mod mosquitto;`. Where mosquitto is not installed
//! [`Mosquitto::start`] says SKIPPED on stderr and returns nothing; with `GEOSAM_REQUIRE_MOSQUITTO` set
//! (as in CI) it fails instead.
#![allow(dead_code, reason = "each test binary uses its own part")]

use std::io::{BufRead, BufReader, Write};
use std::net::{TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::mpsc::{Receiver, channel};
use std::time::{Duration, Instant};

use tempfile::TempDir;

/// How long anything may take before a test fails.
pub fn patience() -> Duration {
    // An emulated processor decodes for half a minute.
    let emulated = std::env::var_os("GEOSAM_TEST_RUNNER").is_some();
    Duration::from_secs(if emulated { 200 } else { 20 })
}

static PEERS: AtomicU32 = AtomicU32::new(0);

/// What is special about a broker.
#[derive(Default, Clone)]
pub struct Setup {
    /// Keep sessions and messages over a restart, with an unlimited queue.
    pub persistence: bool,
    /// User names and passwords; without any, anonymous clients are let in.
    pub users: Vec<(String, String)>,
    /// Text of an access list.
    pub acl: Option<String>,
    /// Certificates, where the listener speaks TLS.
    pub tls: Option<Tls>,
    /// Further lines of the configuration.
    pub extra: Vec<String>,
}

/// Files of a TLS listener.
#[derive(Clone)]
pub struct Tls {
    pub ca: PathBuf,
    pub cert: PathBuf,
    pub key: PathBuf,
    /// Clients need a certificate of the same authority.
    pub require_certificate: bool,
}

/// A broker on a free port of its own. It is killed when dropped.
pub struct Mosquitto {
    dir: TempDir,
    port: u16,
    setup: Setup,
    child: Option<Child>,
}

impl Mosquitto {
    /// Starts a broker, or says that there is none.
    pub fn start(setup: Setup) -> Option<Self> {
        if !is_installed("mosquitto") || !is_installed("mosquitto_sub") {
            assert!(
                std::env::var_os("GEOSAM_REQUIRE_MOSQUITTO").is_none(),
                "mosquitto is not installed, and GEOSAM_REQUIRE_MOSQUITTO is set"
            );
            // Past the test harness, which would swallow the output of a test that passes.
            let said = "SKIPPED: mosquitto is not installed (apt-get install mosquitto mosquitto-clients)";
            let _ = writeln!(std::io::stderr(), "{said}");
            return None;
        }
        let dir = tempfile::tempdir().expect("a temporary directory");
        // A broker started as root gives up its rights, and must still write here.
        let open = std::os::unix::fs::PermissionsExt::from_mode(0o777);
        std::fs::set_permissions(dir.path(), open).expect("permissions");
        let mut broker = Self { dir, port: 0, setup, child: None };
        for _attempt in 0..5 {
            broker.port = free_port();
            if broker.launch() {
                return Some(broker);
            }
        }
        panic!("mosquitto does not start:\n{}", broker.log());
    }

    pub fn port(&self) -> u16 {
        self.port
    }

    /// Address for `--broker`.
    pub fn url(&self) -> String {
        let scheme = if self.setup.tls.is_some() { "mqtts" } else { "mqtt" };
        format!("{scheme}://localhost:{}", self.port)
    }

    /// Directory of the broker's files, for those of a test as well.
    pub fn dir(&self) -> &Path {
        self.dir.path()
    }

    /// What the broker has logged since it was first started.
    pub fn log(&self) -> String {
        std::fs::read_to_string(self.dir.path().join("log")).unwrap_or_default()
    }

    /// Waits until the broker has logged something.
    pub fn wait_for_log(&self, text: &str) {
        let start = Instant::now();
        while !self.log().contains(text) {
            assert!(start.elapsed() < patience(), "{text:?} does not come up in the log:\n{}", self.log());
            std::thread::sleep(Duration::from_millis(10));
        }
    }

    /// Stops the broker as systemd would, so that it saves its store.
    pub fn stop(&mut self) {
        self.signal("TERM");
        if let Some(mut child) = self.child.take() {
            child.wait().expect("the broker ends");
        }
    }

    /// Kills the broker; what it had not saved is lost.
    pub fn kill(&mut self) {
        if let Some(mut child) = self.child.take() {
            let _ = child.kill();
            let _ = child.wait();
        }
    }

    /// Sends a signal by its name, for example STOP or CONT.
    pub fn signal(&self, name: &str) {
        if let Some(child) = &self.child {
            let status = Command::new("kill").args([&format!("-{name}"), &child.id().to_string()]).status();
            assert!(status.expect("kill runs").success());
        }
    }

    /// Starts it again on the same port with the same files.
    pub fn restart(&mut self) {
        self.kill();
        for _attempt in 0..20 {
            if self.launch() {
                return;
            }
            std::thread::sleep(Duration::from_millis(100));
        }
        panic!("mosquitto does not come back:\n{}", self.log());
    }

    fn launch(&mut self) -> bool {
        self.write_configuration();
        let config = self.dir.path().join("mosquitto.conf");
        let mut command = Command::new(program("mosquitto"));
        command.arg("-c").arg(config).stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
        let mut child = command.spawn().expect("mosquitto runs");
        let start = Instant::now();
        while start.elapsed() < patience() {
            if child.try_wait().expect("a status").is_some() {
                return false;
            }
            if TcpStream::connect(("127.0.0.1", self.port)).is_ok() {
                self.child = Some(child);
                return true;
            }
            std::thread::sleep(Duration::from_millis(10));
        }
        let _ = child.kill();
        let _ = child.wait();
        false
    }

    fn write_configuration(&self) {
        let dir = self.dir.path();
        let mut lines = vec![
            "user root".to_owned(),
            "per_listener_settings false".to_owned(),
            format!("listener {} 127.0.0.1", self.port),
            format!("log_dest file {}", dir.join("log").display()),
            "log_type all".to_owned(),
            "set_tcp_nodelay true".to_owned(),
        ];
        if self.setup.persistence {
            lines.push("persistence true".to_owned());
            lines.push(format!("persistence_location {}/", dir.display()));
            lines.push("max_queued_messages 0".to_owned());
        }
        if self.setup.users.is_empty() {
            lines.push("allow_anonymous true".to_owned());
        } else {
            let file = dir.join("passwords");
            if !file.exists() {
                std::fs::write(&file, "").expect("the password file");
                for (user, password) in &self.setup.users {
                    let args = ["-b", &file.display().to_string(), user, password];
                    let status = Command::new(program("mosquitto_passwd")).args(args).status();
                    assert!(status.expect("mosquitto_passwd runs").success());
                }
            }
            lines.push("allow_anonymous false".to_owned());
            lines.push(format!("password_file {}", file.display()));
        }
        if let Some(acl) = &self.setup.acl {
            let file = dir.join("acl");
            std::fs::write(&file, acl).expect("the access list");
            lines.push(format!("acl_file {}", file.display()));
        }
        if let Some(tls) = &self.setup.tls {
            lines.push(format!("cafile {}", tls.ca.display()));
            lines.push(format!("certfile {}", tls.cert.display()));
            lines.push(format!("keyfile {}", tls.key.display()));
            lines.push(format!("require_certificate {}", tls.require_certificate));
        }
        lines.extend(self.setup.extra.iter().cloned());
        std::fs::write(dir.join("mosquitto.conf"), lines.join("\n") + "\n").expect("the configuration");
    }

    /// Publishes with mosquitto_pub at least once, and waits until the broker has it. `more` are further
    /// arguments, for example `-r` or `-D publish response-topic x`.
    pub fn publish(&self, topic: &str, payload: &[u8], more: &[&str]) {
        let mut command = Command::new(program("mosquitto_pub"));
        command.args(["-h", "127.0.0.1", "-p", &self.port.to_string(), "-q", "1", "-t", topic]);
        // From its input, unless there is nothing to read.
        command.arg(if payload.is_empty() { "-n" } else { "-s" });
        if !more.contains(&"-V") {
            command.args(["-V", "mqttv5"]);
        }
        let mut child = command.args(more).stdin(Stdio::piped()).spawn().expect("mosquitto_pub runs");
        let mut stdin = child.stdin.take().expect("its input");
        stdin.write_all(payload).expect("the payload");
        drop(stdin);
        assert!(child.wait().expect("a status").success(), "mosquitto_pub fails on {topic}");
    }

    /// Subscribes with mosquitto_sub; returns when the broker has granted it.
    pub fn subscribe(&self, filter: &str, more: &[&str]) -> Peer {
        let id = format!("peer-{}", PEERS.fetch_add(1, Ordering::Relaxed));
        let mut command = Command::new(program("mosquitto_sub"));
        command.args(["-h", "127.0.0.1", "-p", &self.port.to_string(), "-q", "1", "-i", &id, "-t", filter]);
        command.args(["-F", "%t\\t%r\\t%R\\t%D\\t%C\\t%P\\t%x"]);
        if !more.contains(&"-V") {
            command.args(["-V", "mqttv5"]);
        }
        let mut child = command.args(more).stdout(Stdio::piped()).spawn().expect("mosquitto_sub runs");
        let stdout = BufReader::new(child.stdout.take().expect("its output"));
        let (sender, received) = channel();
        std::thread::spawn(move || {
            for line in stdout.lines().map_while(Result::ok) {
                if sender.send(Received::parse(&line)).is_err() {
                    break;
                }
            }
        });
        self.wait_for_log(&format!("Sending SUBACK to {id}"));
        Peer { child, received }
    }
}

impl Drop for Mosquitto {
    fn drop(&mut self) {
        self.kill();
        if std::thread::panicking() {
            eprintln!("the broker's log:\n{}", self.log());
        }
    }
}

/// A running mosquitto_sub. It is killed when dropped.
pub struct Peer {
    child: Child,
    received: Receiver<Received>,
}

impl Peer {
    /// The next message; fails when none comes.
    pub fn next(&self) -> Received {
        self.within(patience()).expect("the peer gets a message in time")
    }

    /// The next message, if it comes in time.
    pub fn within(&self, time: Duration) -> Option<Received> {
        self.received.recv_timeout(time).ok()
    }

    /// All messages until none comes for a while.
    pub fn until_silent(&self, silence: Duration) -> Vec<Received> {
        std::iter::from_fn(|| self.within(silence)).collect()
    }
}

impl Drop for Peer {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// A message that mosquitto_sub got.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Received {
    pub topic: String,
    pub retain: bool,
    pub response_topic: String,
    pub correlation_data: String,
    pub content_type: String,
    pub user_properties: String,
    pub payload: Vec<u8>,
}

impl Received {
    fn parse(line: &str) -> Self {
        let fields: Vec<&str> = line.split('\t').collect();
        let field = |index: usize| fields.get(index).copied().unwrap_or_default().to_owned();
        let hex = fields.last().copied().unwrap_or_default();
        let digit = |index| u8::from_str_radix(&hex[index..index + 2], 16).expect("hexadecimal");
        Self {
            topic: field(0),
            retain: field(1) == "1",
            response_topic: field(2),
            correlation_data: field(3),
            content_type: field(4),
            user_properties: field(5),
            payload: (0..hex.len() / 2 * 2).step_by(2).map(digit).collect(),
        }
    }

    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.payload).into_owned()
    }
}

/// A program of mosquitto's; Debian keeps daemons out of a user's PATH.
pub fn program(name: &str) -> PathBuf {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let places = std::env::split_paths(&path).chain(["/usr/sbin".into(), "/usr/local/sbin".into()]);
    let found = places.map(|place| place.join(name)).find(|candidate| candidate.is_file());
    found.unwrap_or_else(|| PathBuf::from(name))
}

pub fn is_installed(name: &str) -> bool {
    program(name).is_file()
}

/// A port that was free a moment ago.
pub fn free_port() -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    listener.local_addr().expect("its number").port()
}
