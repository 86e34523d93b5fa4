use proptest::prelude::*;

use super::reader::Document;
use super::*;

const EXAMPLE: &str = include_str!("../../systemd/geosam-edge.example.toml");

fn surroundings() -> Surroundings {
    Surroundings { device: "jetson".to_owned(), state: None }
}

fn parse(text: &str) -> Result<Config, ConfigError> {
    let path = Some(Path::new("/etc/geosam-edge.toml"));
    Config::from_text(text, path, &Overrides::default(), &surroundings())
}

fn message(text: &str) -> String {
    parse(text).expect_err("the text is refused").to_string()
}

#[test]
fn the_example_file_says_the_defaults() {
    assert_eq!(parse(EXAMPLE).unwrap(), Config::defaults(&surroundings()));
}

#[test]
fn the_example_file_explains_every_key_in_its_section() {
    let document = Document::parse("", None).unwrap();
    Config::defaults(&surroundings()).read(&document).unwrap();
    let mut missing = document.known();
    let (mut section, mut commented) = (String::new(), false);
    for line in EXAMPLE.lines() {
        if let Some(name) = line.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')) {
            name.clone_into(&mut section);
            missing.retain(|known| *known != ("", name));
            commented = false;
        }
        let key = line.trim_start_matches("# ").split(" = ").next().unwrap_or_default();
        let is_key = missing.contains(&(section.as_str(), key)) && line.contains(" = ");
        if is_key {
            // Keys in a row share the comment above the first.
            assert!(commented, "{section}.{key} has no comment above it");
            missing.retain(|known| *known != (section.as_str(), key));
        } else {
            commented = line.starts_with('#') || (commented && !line.is_empty());
        }
    }
    assert_eq!(missing, [], "these keys are not in the example");
}

#[test]
fn the_examples_of_optional_keys_are_valid() {
    let uncommented: String = EXAMPLE
        .lines()
        .map(|line| match line.strip_prefix("# ") {
            Some(rest) if rest.split(' ').nth(1) == Some("=") && !rest.starts_with("password_env") => rest,
            _ => line,
        })
        .map(|line| format!("{line}\n"))
        .collect();
    let uncommented = uncommented
        .replace("mqtt://localhost:1883", "mqtts://localhost")
        .replace("targets = []", "targets = [\"tls://takserver.lan\"]");
    let config = parse(&uncommented).unwrap();
    assert_eq!(config.device, "board-7");
    assert_eq!(config.broker.password, Some(PasswordSource::File("/etc/geosam-edge/password".into())));
    assert!(config.broker.tls.key.is_some());
    assert_eq!(config.cot.marker_layer.as_deref(), Some("markers"));
}

#[test]
fn the_defaults_of_configuration_store_and_service_are_the_same() {
    let options = parse("").unwrap().service_options();
    let defaults = crate::service::ServiceOptions::default();
    assert_eq!(options.store, defaults.store);
    assert_eq!(options.store, crate::store::StoreLimits::default());
    assert_eq!(options.sessions, crate::session::SessionLimits::default());
    let numbers = |o: &crate::service::ServiceOptions| {
        (
            o.limits,
            o.queue,
            o.queue_per_client,
            o.previews,
            o.answer_bytes,
            o.max_answer_bytes,
            o.layers,
            o.cache_bytes,
        )
    };
    assert_eq!(numbers(&options), numbers(&defaults));
    assert_eq!(options.response_prefixes, defaults.response_prefixes);
}

#[test]
fn what_requests_do_not_say_is_as_the_configuration_says() {
    let stitch = |text: &str| parse(text).unwrap().service_options().stitch;
    assert_eq!(stitch(""), None);
    assert_eq!(stitch("[defaults]\nstitch = true"), Some(16));
    assert_eq!(stitch("[defaults]\nstitch = true\nmax_chips = 3"), Some(3));
    assert!(parse("[defaults]\nmax_chips = 0").is_err());
}

#[test]
fn answers_are_kept_as_long_as_the_broker_keeps_our_session() {
    let expiry_note = |text: &str| {
        let notes = parse(text).unwrap().notes();
        notes.iter().any(|note| note.contains("session_expiry_s"))
    };
    assert!(!expiry_note(""), "by default");
    assert!(expiry_note("[broker]\nsession_expiry_s = 0"));
    assert!(expiry_note("[limits]\nanswer_age_s = 86400"));
    assert!(expiry_note("[broker]\nsession_expiry_s = 1209600"));
    assert!(!expiry_note("[broker]\nsession_expiry_s = 1209600\n[limits]\nanswer_age_s = 1209600"));
}

#[test]
fn without_a_file_the_service_serves_features_with_models_on_localhost() {
    let config = Config::load(None, &Overrides::default()).unwrap();
    assert_eq!(config.features, [PathBuf::from("./features")]);
    assert_eq!(config.models, PathBuf::from("./models"));
    assert_eq!(config.broker.url.to_string(), "mqtt://localhost:1883");
    let systemd = Surroundings { state: Some("/var/lib/geosam-edge".into()), ..surroundings() };
    let config = Config::from_text("", None, &Overrides::default(), &systemd).unwrap();
    assert_eq!(config.state, PathBuf::from("/var/lib/geosam-edge"));
    assert_eq!((config.device.as_str(), config.broker.client_id.as_str()), ("jetson", "geosam-jetson"));
}

#[test]
fn flags_win_over_the_file() {
    let overrides = Overrides {
        broker: Some("mqtts://elsewhere".to_owned()),
        device: Some("b".to_owned()),
        features: vec!["/media/card".into()],
        models: Some("/models".into()),
        state: Some("/state".into()),
        engine: Some(EngineChoice::Tract),
        web: Some("localhost:8080".to_owned()),
    };
    let text = "device = \"a\"\nfeatures = [\"x\", \"y\"]\n[broker]\nurl = \"mqtt://here\"";
    let config = Config::from_text(text, None, &overrides, &surroundings()).unwrap();
    assert_eq!(config.broker.url.to_string(), "mqtts://elsewhere:8883");
    assert_eq!((config.device.as_str(), config.broker.client_id.as_str()), ("b", "geosam-b"));
    assert_eq!(config.features, [PathBuf::from("/media/card")]);
    assert_eq!((config.models, config.state), ("/models".into(), "/state".into()));
    assert_eq!(config.decoder.engine, EngineChoice::Tract);
    assert_eq!(config.web.listen, Some("127.0.0.1:8080".parse().unwrap()));

    let named = "[broker]\nclient_id = \"mine\"";
    let config = Config::from_text(named, None, &overrides, &surroundings()).unwrap();
    assert_eq!(config.broker.client_id, "mine");

    let bad = Overrides { broker: Some("http://x".to_owned()), ..Overrides::default() };
    let error = Config::from_text("", None, &bad, &surroundings()).unwrap_err().to_string();
    assert_eq!(error, "--broker: \"broker\" starts with another scheme than mqtt:// or mqtts://");
    let bad = Overrides { device: Some("fleet".to_owned()), ..Overrides::default() };
    assert!(Config::from_text("", None, &bad, &surroundings()).is_err());
}

#[test]
fn an_unknown_key_is_refused_with_the_nearest_and_its_line() {
    for (text, expected) in [
        ("devise = \"a\"", "/etc/geosam-edge.toml:1: unknown key \"devise\"; did you mean \"device\"?"),
        (
            "\n[broker]\nurl = \"mqtt://a\"\nkeepalive_s = 10",
            "/etc/geosam-edge.toml:4: unknown key \"broker.keepalive_s\"; did you mean \"broker.keep_alive_s\"?",
        ),
        ("[brokr]\nurl = \"x\"", "/etc/geosam-edge.toml:1: unknown key \"brokr\"; did you mean \"broker\"?"),
        ("queue = 7", "/etc/geosam-edge.toml:1: unknown key \"queue\"; did you mean \"limits.queue\"?"),
        (
            "[health]\ninterval = 3",
            "/etc/geosam-edge.toml:2: unknown key \"health.interval\"; did you mean \"health.interval_s\"?",
        ),
        (
            "[health]\nzzzzzzzzzzzzzzz = 3",
            "/etc/geosam-edge.toml:2: unknown key \"health.zzzzzzzzzzzzzzz\"; known are interval_s",
        ),
    ] {
        assert_eq!(message(text), expected);
    }
    for (section, key) in [("broker", "broker.password_file"), ("web", "web.password_file")] {
        let password = message(&format!("[{section}]\npassword = \"hunter2\""));
        assert!(password.contains(key) && !password.contains("hunter2"), "{password}");
    }
}

#[test]
fn a_name_that_others_use_leads_to_the_key_and_a_short_one_to_no_other() {
    for (section, key, instead) in [
        ("broker", "host", "write broker.url = \"mqtt://HOST:PORT\""),
        ("broker", "port", "write broker.url = \"mqtt://HOST:PORT\""),
        ("broker", "tls", "write broker.url = \"mqtts://HOST:PORT\""),
        ("broker", "user", "write broker.username"),
        ("web", "port", "write web.listen = \"ADDRESS:PORT\""),
        ("web", "Host", "write web.listen = \"ADDRESS:PORT\""),
        ("cot", "port", "write cot.targets = [\"tcp://HOST:PORT\"]"),
        ("limits", "port", "known are "),
    ] {
        let told = message(&format!("[{section}]\n{key} = 1"));
        assert!(told.contains(instead) && !told.contains("did you mean"), "{told}");
    }
    assert!(message("port = 1883").contains("write [broker] with url"), "{}", message("port = 1883"));
}

#[test]
fn a_path_that_only_a_shell_would_expand_is_refused() {
    for text in [
        "state = \"~/state\"",
        "models = \"~\"",
        "features = [\"/card\", \"~me/card\"]",
        "[broker]\nurl = \"mqtts://a\"\nca = \"~/ca.pem\"",
        "[broker]\nusername = \"u\"\npassword_file = \"~/p\"",
        "[web]\npassword_file = \"~/p\"",
        "[cot]\ntargets = [\"tls://a\"]\nkey = \"~/k\"",
        "[tensorrt]\nlibrary = \"~/l.so\"",
    ] {
        assert!(message(text).contains("begins with ~, which shells alone"), "{}", message(text));
    }
    assert_eq!(parse("state = \"./~state\"").unwrap().state, Path::new("./~state"));
}

#[test]
fn a_file_that_is_not_utf_8_is_told_by_its_encoding() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("edge.toml");
    let load = |bytes: &[u8]| {
        std::fs::write(&path, bytes).unwrap();
        Config::load(Some(&path), &Overrides::default()).map_err(|error| error.to_string())
    };
    let text = "device = \"b\"\n";
    let units = |bytes: fn(u16) -> [u8; 2]| text.encode_utf16().flat_map(bytes).collect::<Vec<u8>>();
    let (little, big) = (units(u16::to_le_bytes), units(u16::to_be_bytes));
    for bytes in [[&b"\xff\xfe"[..], &little].concat(), [&b"\xfe\xff"[..], &big].concat(), little, big] {
        let told = load(&bytes).unwrap_err();
        assert!(told.contains("edge.toml: this is UTF-16") && told.contains("as UTF-8"), "{told}");
    }
    let told = load(b"device = \"b\"\n[cot]\ncallsign = \"Tr\xe4ger\"\n").unwrap_err();
    assert!(told.contains("edge.toml:3: byte 0xE4") && told.contains("save the file as UTF-8"), "{told}");
    assert_eq!(load(text.as_bytes()).unwrap().device, "b");
}

#[test]
fn a_value_that_cannot_be_is_refused_with_its_line_and_what_would_be_right() {
    for (text, expected) in [
        ("device = 7", ":1: \"device\" is a whole number; give a text in quotes"),
        ("device = \" \"", ":1: \"device\" is empty; leave the key out instead"),
        ("device = \"fleet\"", ":1: \"device\" cannot be used: the device cannot be called \"fleet\""),
        ("\ndevice = \"a/b\"", ":2: \"device\" cannot be used: the device \"a/b\" has the character '/'"),
        ("root = \"a//b\"", ":1: \"root\" cannot be used"),
        ("features = []", ":1: \"features\" is an empty list"),
        ("features = \"x\"", ":1: \"features\" is a text; give a list"),
        ("features = [1]", ":1: \"features\" has a whole number in its list"),
        ("log = \"loud=very\"", ":1: \"log\" cannot be used"),
        ("broker = \"mqtt://x\"", ":1: \"broker\" is a value; write [broker]"),
        ("[broker]\nurl = \"x\"", ":2: \"broker.url\" is not of the form mqtt://HOST:PORT"),
        ("[broker]\nprotocol = \"4\"", ":2: \"broker.protocol\" is no version"),
        ("[broker]\nprotocol = 5", ":2: \"broker.protocol\" is a whole number; give a text"),
        ("[broker]\nkeep_alive_s = 2", ":2: \"broker.keep_alive_s\" is 2; give a whole number of 5 to 65535"),
        ("[broker]\nin_flight = -1", ":2: \"broker.in_flight\" is -1; give a whole number of 1 to 128"),
        ("[broker]\npassword_file = \"x\"", ": \"broker.username\" is missing"),
        (
            "[broker]\nusername = \"u\"\npassword_file = \"x\"\npassword_env = \"Y\"",
            ":4: \"broker.password_env\"",
        ),
        ("[broker]\nca = \"ca.pem\"", "is not encrypted (mqtt://)"),
        ("[broker]\nurl = \"mqtts://a\"\ncert = \"c\"", ":3: \"broker.cert\" stands without key"),
        ("[limits]\npoints = 1.5", ":2: \"limits.points\" is a number with a fraction"),
        ("[limits]\nqueue = 4\nclient_queue = 8", ":3: \"limits.client_queue\" is larger than queue"),
        ("[limits]\nresponse_prefixes = [\"#\"]", ":2: \"limits.response_prefixes\" has an entry"),
        ("[preview]\nenabled = 1", ":2: \"preview.enabled\" is a whole number; give true or false"),
        ("[decoder]\nengine = \"cuda\"", ":2: \"decoder.engine\" is no engine"),
        ("[tensorrt]\nlibrary = \"x.so\"", ":2: \"tensorrt.library\" is no absolute path"),
        ("[tensorrt]\nprovider = \"cuda\"", ":2: \"tensorrt.provider\" is no provider; give \"tensorrt\""),
        ("[tensorrt]\nprovider = \"cpu\"\nfp16 = true", ":3: \"tensorrt.fp16\" is for a GPU; leave it out"),
        ("[tensorrt]\nprovider = \"cpu\"\ndevice = 1", ":3: \"tensorrt.device\" is for a GPU"),
        ("[fleet]\ngroups = [\"a b\"]", ":2: \"fleet.groups\" cannot be used"),
        ("[web]\nlisten = \"board\"", ":2: \"web.listen\" is no address with a port"),
        ("[web]\nhosts = [\"board:80\"]", ":2: \"web.hosts\" has an entry that is no name"),
        ("[web]\ncert = \"c\"", ":2: \"web.cert\" stands without key"),
        (
            "[cot]\ntargets = [\"tcp://a\", \"b\"]",
            ":2: \"cot.targets\" has an entry, number 2, that is no target",
        ),
        (
            "[cot]\ntargets = [\"tcp://a\", \"tcp://a:8087\"]",
            ":2: \"cot.targets\" has an entry, number 2, that stands",
        ),
        ("[cot]\ntargets = [\"tcp://a\"]\nca = \"c\"", ":2: \"cot.targets\" has no target that is encrypted"),
        ("[cot]\nlayers = [\"a b\"]", ":2: \"cot.layers\" has the name of a layer that"),
        (
            "[cot]\ntargets = [\"tcp://a\"]\nmarker_layer = \"a b\"",
            ":3: \"cot.marker_layer\" is no name of a layer",
        ),
        ("[cot]\nmarker_layer = \"a\"", ":2: \"cot.marker_layer\" needs a target that can be listened to"),
        (
            "[cot]\ntargets = [\"mqtt:cot\", \"udp://10.0.0.7\"]\nmarker_layer = \"a\"",
            ":3: \"cot.marker_layer\" needs a target that can be listened to",
        ),
        ("[cot]\ncert = \"c\"", ":2: \"cot.cert\" stands without key"),
        ("[cot]\nstale_s = 60", ":2: \"cot.stale_s\" is shorter than interval_s"),
        ("[cot]\nmulticast_interface = \"wlan0\"", ":2: \"cot.multicast_interface\" is no IPv4 address"),
        ("device = ", ":1: this is not TOML"),
        ("device = \"a\"\ndevice = \"b\"", ":2: this is not TOML: duplicate key"),
    ] {
        let got = message(text);
        assert!(got.starts_with("/etc/geosam-edge.toml") && got.contains(expected), "{text:?} gave {got}");
    }
}

#[test]
fn an_address_with_a_password_in_it_is_refused_without_showing_it() {
    let text = "[broker]\nurl = \"mqtt://board:hunter2@localhost\"";
    assert!(!message(text).contains("hunter2"));
    let flag =
        Overrides { broker: Some("mqtt://board:hunter2@localhost".to_owned()), ..Overrides::default() };
    let error = Config::from_text("", None, &flag, &surroundings()).unwrap_err();
    assert!(!format!("{error} {error:?}").contains("hunter2"));
}

#[test]
fn a_gpu_is_tried_unless_an_engine_on_the_processor_is_asked_for() {
    let accelerator = |text| parse(text).unwrap().service_options().accelerator;
    let auto = accelerator("state = \"/s\"").unwrap();
    assert_eq!((auto.required, auto.onnxruntime.engines.as_path()), (false, Path::new("/s/engines")));
    // The settings may stay while the engine is switched off.
    assert_eq!(accelerator("[decoder]\nengine = \"fused\"\n[tensorrt]\nfp16 = true"), None);
    assert_eq!(accelerator("[decoder]\nengine = \"tract\""), None);
    let tensorrt = "[decoder]\nengine = \"tensorrt\"";
    if cfg!(feature = "tensorrt") {
        assert!(accelerator(tensorrt).unwrap().required);
    } else {
        assert!(message(tensorrt).contains("built without"), "{}", message(tensorrt));
    }
    let cpu = accelerator("[tensorrt]\nprovider = \"cpu\"\nlibrary = \"/l.so\"").unwrap().onnxruntime;
    assert_eq!((cpu.provider, cpu.library.as_path()), (Provider::Cpu, Path::new("/l.so")));
}

#[test]
fn a_smaller_queue_takes_the_share_of_one_client_with_it() {
    assert_eq!(parse("[limits]\nqueue = 4").unwrap().limits.client_queue, 4);
}

#[test]
fn what_is_in_force_reads_back_as_the_same() {
    let text = r#"
        device = "b"
        features = ["/media/a b", "/quote\"d"]
        [broker]
        url = "mqtts://broker.example"
        protocol = "3.1.1"
        username = "u"
        password_env = "NOWHERE"
        ca = "/ca.pem"
        cert = "/c.pem"
        key = "/k.pem"
        [fleet]
        groups = ["valley"]
        [web]
        listen = "[::1]:8080"
        hosts = ["board.example"]
        password_file = "/p"
        cert = "/c.pem"
        key = "/k.pem"
        [cot]
        targets = ["udp://239.2.3.1", "tls://[::1]:1", "mqtt:cot"]
        layers = ["ponds"]
        marker_layer = "markers"
        callsign = "Träger 7"
        ca = "/ca.pem"
        cert = "/c.pem"
        key = "/k.pem"
        check_name = false
        multicast_interface = "10.0.0.7"
    "#;
    for text in [text, ""] {
        let config = parse(text).unwrap();
        assert_eq!(parse(&config.effective()).unwrap(), config, "{}", config.effective());
    }
}

#[test]
fn what_is_in_force_shows_every_key() {
    let text = "[broker]\nurl=\"mqtts://a\"\nusername=\"u\"\npassword_file=\"p\"\nca=\"a\"\ncert=\"b\"\nkey=\"c\"\n\
         [web]\nlisten=\"127.0.0.1:1\"\npassword_file=\"p\"\ncert=\"b\"\nkey=\"c\"\n\
         [cot]\ntargets=[\"tcp://a\"]\nmarker_layer=\"m\"\ncallsign=\"c\"\nmulticast_interface=\"10.0.0.7\"";
    let shown = parse(text).unwrap().effective();
    let document = Document::parse("", None).unwrap();
    Config::defaults(&surroundings()).read(&document).unwrap();
    for (section, key) in document.known() {
        let line = if section.is_empty() && shown.contains(&format!("\n[{key}]")) { "" } else { key };
        let one_of_two = key == "password_env";
        assert!(one_of_two || shown.contains(&format!("{line} = ")) || line.is_empty(), "{section}.{key}");
    }
}

#[test]
fn the_password_comes_from_its_file_and_is_never_shown() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("password");
    let text = format!("[broker]\nusername = \"u\"\npassword_file = \"{}\"", file.display());
    let config = parse(&text).unwrap();
    let refused = || config.check_files().expect_err("the file is refused").to_string();
    assert!(refused().contains(&file.display().to_string()));
    std::fs::write(&file, "hunter2\n").unwrap();
    assert!(config.check_files().is_ok());
    let options = config.bus_options().unwrap();
    assert!(!format!("{options:?}{config:?}{}", config.effective()).contains("hunter2"));
    for bad in ["", "\n", "a\nb\n", &"x".repeat(5000)] {
        std::fs::write(&file, bad).unwrap();
        let error = refused();
        assert!(error.contains("cannot be used as the broker's password"), "{error}");
    }
    let variable = parse("[broker]\nusername = \"u\"\npassword_env = \"GEOSAM_NOT_SET\"").unwrap();
    let error = variable.bus_options().unwrap_err().to_string();
    assert!(error.contains("GEOSAM_NOT_SET") && error.contains("not set"), "{error}");
}

#[test]
fn the_bus_is_told_what_the_configuration_says() {
    let config =
        parse("device = \"b\"\n[broker]\nkeep_alive_s = 60\n[limits]\npayload_bytes = 1048576").unwrap();
    let options = config.bus_options().unwrap();
    assert_eq!(options.keep_alive.as_secs(), 60);
    assert_eq!(options.session_expiry.as_secs(), 604_800);
    assert_eq!(options.client_id, "geosam-b");
    assert_eq!(options.max_incoming_bytes, 4 << 20, "a request over the limit is still answered");
    let will = options.will.unwrap();
    assert_eq!((will.topic.as_str(), will.payload.as_slice()), ("geosam/b/state", &b"offline"[..]));
    assert!(will.retain);
    assert_eq!(config.topics().unwrap().state(), will.topic);
    assert!(config.check_files().is_ok());
    let tls = parse("[broker]\nurl = \"mqtts://a\"\nca = \"/nowhere.pem\"").unwrap();
    assert!(tls.check_files().unwrap_err().to_string().starts_with("/nowhere.pem"));
}

proptest! {
    #[test]
    fn any_text_is_parsed_or_refused_without_panic(text in "\\PC*") {
        let _ = parse(&text);
        let _ = parse(&format!("[broker]\nurl = {text}"));
        let _ = parse(&format!("[limits]\n{text} = 1"));
    }
}

#[test]
fn events_are_sent_where_there_are_targets_and_their_certificates_are_checked() {
    assert!(parse("").unwrap().cot_options().is_none());
    let config =
        parse("device = \"b\"\nroot = \"x/y\"\n[cot]\ntargets = [\"udp://239.2.3.1\"]\ninterval_s = 10")
            .unwrap();
    let options = config.service_options().cot.unwrap();
    assert_eq!((options.topic.as_str(), options.callsign.as_str()), ("x/y/b", "b"));
    assert_eq!(
        (options.interval.as_secs(), options.stale.as_secs(), options.pause.as_millis()),
        (10, 86_400, 300)
    );
    assert!(config.notes().iter().any(|note| note.contains("can read what is saved")));
    assert_eq!(options.marker_layer, None);
    let heard =
        parse("[cot]\ntargets = [\"udp://239.2.3.1\"]\nlayers = [\"ponds\"]\nmarker_layer = \"m\"").unwrap();
    assert_eq!(heard.cot_options().unwrap().marker_layer.as_deref(), Some("m"));
    assert!(heard.notes().iter().any(|note| note.contains("can set markers")));
    assert!(heard.notes().iter().any(|note| note.contains("is not among cot.layers")));
    let tls = parse("[cot]\ntargets = [\"tls://a\"]\nca = \"/nowhere.pem\"\ncheck_name = false").unwrap();
    assert!(tls.check_files().unwrap_err().to_string().starts_with("/nowhere.pem"));
    let public = parse("[cot]\ntargets = [\"tls://a\"]\ncheck_name = false").unwrap();
    assert!(public.notes().iter().any(|note| note.contains("without cot.ca")));
}

#[cfg(feature = "web")]
#[test]
fn the_page_is_served_where_an_address_is_given_and_warns_where_it_is_open() {
    assert!(parse("").unwrap().web_options().is_none());
    let notes = |text: &str| {
        let notes = parse(text).unwrap().notes();
        notes.into_iter().filter(|note| note.contains("the page at")).collect::<Vec<_>>()
    };
    assert_eq!(notes("[web]\nlisten = \"127.0.0.1:8080\""), [""; 0]);
    let open = "[web]\nlisten = \"0.0.0.0:8080\"\n";
    assert!(notes(open)[0].contains("neither TLS nor a password"));
    assert!(notes(&format!("{open}password_file = \"p\""))[0].contains("has no TLS"));
    assert!(notes(&format!("{open}cert = \"c\"\nkey = \"k\""))[0].contains("has no password"));
    assert_eq!(notes(&format!("{open}cert = \"c\"\nkey = \"k\"\npassword_file = \"p\"")), [""; 0]);
}

#[cfg(feature = "web")]
#[test]
fn what_the_page_needs_is_checked_before_it_is_served() {
    let check = |keys: &str| {
        let config = parse(&format!("[web]\nlisten = \"127.0.0.1:8080\"\n{keys}")).unwrap();
        config.check_files().map_err(|error| error.to_string())
    };
    assert_eq!(check(""), Ok(()));
    assert!(check("password_file = \"/nowhere/p\"").unwrap_err().starts_with("/nowhere/p: cannot be used"));
    assert!(
        check("cert = \"/nowhere/c\"\nkey = \"/k\"").unwrap_err().starts_with("/nowhere/c: cannot be read")
    );
}
