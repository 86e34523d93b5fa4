use proptest::prelude::*;

use super::*;
use crate::bus::filter::{matches, unshared};

fn topics() -> Topics {
    Topics::new("geosam", "board-7", &["valley".to_owned()]).unwrap()
}

fn address(scope: Scope, client: &str, verb: Verb) -> RequestAddress {
    RequestAddress { scope, client: client.to_owned(), verb }
}

#[test]
fn every_topic_of_the_contract_stands_below_the_device() {
    let topics = topics();
    assert_eq!(topics.state(), "geosam/board-7/state");
    assert_eq!(topics.info(), "geosam/board-7/info");
    assert_eq!(topics.health(), "geosam/board-7/health");
    assert_eq!(topics.folder("beiluhe"), "geosam/board-7/folder/beiluhe");
    assert_eq!(topics.mask("beiluhe"), "geosam/board-7/mask/beiluhe");
    assert_eq!(topics.saved("ponds"), "geosam/board-7/saved/ponds");
    assert_eq!(topics.event("card_error"), "geosam/board-7/event/card_error");
    assert_eq!(topics.request_filter(), "geosam/board-7/request/#");
    assert_eq!(topics.folder_filter(), "geosam/board-7/folder/+");
    assert_eq!(topics.fleet_filters(), ["$share/valley/geosam/fleet/valley/request/#"]);
    let own = address(Scope::Device, "pad", Verb::Save);
    assert_eq!(topics.response(&own), "geosam/board-7/response/pad/save");
    let shared = address(Scope::Fleet("valley".to_owned()), "pad", Verb::Segment);
    assert_eq!(topics.response(&shared), "geosam/fleet/valley/response/pad/segment");
}

#[test]
fn a_request_topic_says_who_asks_for_what() {
    let topics = topics();
    assert_eq!(
        topics.parse("geosam/board-7/request/pad/segment"),
        Inbound::Request(address(Scope::Device, "pad", Verb::Segment))
    );
    assert_eq!(
        topics.parse("geosam/fleet/valley/request/pad/segment"),
        Inbound::Request(address(Scope::Fleet("valley".to_owned()), "pad", Verb::Segment))
    );
    assert_eq!(topics.parse("geosam/board-7/folder/Bei%20Lu"), Inbound::Folder("Bei%20Lu".to_owned()));
}

#[test]
fn an_unknown_verb_is_answered_on_the_topic_that_mirrors_it() {
    let Inbound::Faulty { fault, reply_to } = topics().parse("geosam/board-7/request/pad/segmnt") else {
        panic!("was taken for good");
    };
    assert_eq!(fault.code(), ErrorCode::UnknownVerb);
    assert_eq!(reply_to.as_deref(), Some("geosam/board-7/response/pad/segmnt"));
}

#[test]
fn a_bad_client_name_is_answered_too() {
    for client in ["", "a b", ".hidden", &"x".repeat(65)] {
        let parsed = topics().parse(&format!("geosam/board-7/request/{client}/segment"));
        let Inbound::Faulty { fault: AddressFault::BadClient(_), reply_to } = parsed else {
            panic!("{client:?} gave {parsed:?}");
        };
        assert_eq!(reply_to, Some(format!("geosam/board-7/response/{client}/segment")));
    }
}

#[test]
fn a_refusal_goes_to_no_topic_that_a_broker_may_not_carry() {
    for level in ["segm\u{7}", &"s".repeat(1024)] {
        let parsed = topics().parse(&format!("geosam/board-7/request/pad/{level}"));
        let Inbound::Faulty { fault: AddressFault::UnknownVerb { .. }, reply_to: None } = parsed else {
            panic!("{level:?} gave {parsed:?}");
        };
    }
}

#[test]
fn a_topic_with_missing_or_excess_levels_is_counted() {
    for (topic, found) in [
        ("geosam/board-7/request", 0),
        ("geosam/board-7/request/segment", 1),
        ("geosam/board-7/request/pad/segment/now", 3),
    ] {
        let expected = Inbound::Faulty { fault: AddressFault::Levels { found }, reply_to: None };
        assert_eq!(topics().parse(topic), expected);
    }
}

#[test]
fn a_group_takes_segment_and_everything_only() {
    for verb in [Verb::Segment, Verb::Everything] {
        let parsed = topics().parse(&format!("geosam/fleet/valley/request/pad/{verb}"));
        assert_eq!(parsed, Inbound::Request(address(Scope::Fleet("valley".to_owned()), "pad", verb)));
    }
    let parsed = topics().parse("geosam/fleet/valley/request/pad/save");
    let reply_to = Some("geosam/fleet/valley/response/pad/save".to_owned());
    assert_eq!(parsed, Inbound::Faulty { fault: AddressFault::NotForFleet { verb: Verb::Save }, reply_to });
}

#[test]
fn topics_of_others_are_foreign() {
    for topic in [
        "",
        "geosam",
        "geosam/",
        "geosam/board-7",
        "geosam/board-70/request/pad/segment",
        "geosam/board-7/requests/pad/segment",
        "geosam/board-7/response/pad/segment",
        "geosam/fleet/other/request/pad/segment",
        "geosamx/board-7/request/pad/segment",
        "geosam/board-7/folder/a/b",
    ] {
        assert_eq!(topics().parse(topic), Inbound::Foreign, "{topic:?}");
    }
}

#[test]
fn names_that_break_the_grammar_are_refused() {
    assert_eq!(Topics::new("geosam", "fleet", &[]), Err(TopicError::Reserved));
    for (root, device, group) in
        [("", "a", "g"), ("geo sam", "a", "g"), ("a//b", "a", "g"), ("r", "a/b", "g"), ("r", "a", "#")]
    {
        assert!(Topics::new(root, device, &[group.to_owned()]).is_err());
    }
    assert_eq!(Topics::new("site/geosam", "a", &[]).unwrap().state(), "site/geosam/a/state");
}

#[test]
fn a_response_topic_is_allowed_under_its_prefix_only() {
    let topics = topics();
    let pad = address(Scope::Device, "pad", Verb::Segment);
    let defaults = vec![
        "{root}/{device}/response/{client}/".to_owned(),
        "{root}/fleet/{group}/response/{client}/".to_owned(),
    ];
    let allowed = |topic: &str| topics.allows_response_topic(topic, &pad, &defaults);
    assert!(allowed("geosam/board-7/response/pad/segment"));
    assert!(allowed("geosam/board-7/response/pad/rpc-17"));
    for topic in [
        "geosam/board-7/response/other/segment",
        "geosam/board-7/response/pad2/segment",
        "geosam/board-7/response/pad",
        "geosam/board-7/state",
        "geosam/fleet/valley/response/pad/segment",
        "geosam/board-7/response/pad/+",
        "elsewhere",
        "",
    ] {
        assert!(!allowed(topic), "{topic:?} is allowed");
    }
    let shared = address(Scope::Fleet("valley".to_owned()), "pad", Verb::Segment);
    assert!(topics.allows_response_topic("geosam/fleet/valley/response/pad/x", &shared, &defaults));
}

#[test]
fn a_wide_prefix_still_keeps_our_own_topics_and_requests_safe() {
    let topics = topics();
    let pad = address(Scope::Device, "pad", Verb::Segment);
    let wide = ["geosam", "replies", "below/"].map(str::to_owned);
    let allowed = |topic: &str| topics.allows_response_topic(topic, &pad, &wide);
    assert!(allowed("replies"));
    assert!(allowed("replies/x"));
    assert!(allowed("below/x"));
    assert!(allowed("geosam/other-board/response/pad/x"));
    for topic in [
        "geosam",
        "geosam/board-7/state",
        "geosam/board-8/request/pad/save",
        "geosam/fleet/valley/request/pad/segment",
        "repliesx",
        "below",
        "$SYS/x",
    ] {
        assert!(!allowed(topic), "{topic:?} is allowed");
    }
    assert!(!topics.allows_response_topic("anything", &pad, &["".to_owned(), "/".to_owned()]));
}

const NAME: &str = "[A-Za-z0-9_-][A-Za-z0-9._-]{0,63}";

proptest! {
    #[test]
    fn a_response_goes_where_the_request_topic_implies(client in NAME, index in 0usize..9) {
        let (topics, verb) = (topics(), Verb::ALL[index]);
        let topic = format!("geosam/board-7/request/{client}/{verb}");
        let Inbound::Request(address) = topics.parse(&topic) else { panic!("{topic} is refused") };
        prop_assert_eq!(topics.response(&address), topic.replacen("/request/", "/response/", 1));
        prop_assert!(matches(&topics.request_filter(), &topic));
    }

    #[test]
    fn any_text_is_read_without_panic_and_answered_on_a_publishable_topic(text in "\\PC*") {
        let topics = topics();
        for topic in [text.clone(), format!("geosam/board-7/request/{text}"), format!("geosam/fleet/{text}")] {
            if let Inbound::Faulty { reply_to: Some(reply), .. } = topics.parse(&topic) {
                prop_assert_eq!(check_topic(&reply), Ok(()));
                prop_assert!(reply.contains("/response/"));
            }
        }
    }

    #[test]
    fn whatever_is_subscribed_to_is_read_as_a_request_or_a_fault(levels in "[a-z+/]{0,20}") {
        let topics = topics();
        let topic = format!("geosam/fleet/valley/request/{levels}");
        prop_assert!(matches(unshared(&topics.fleet_filters()[0]), &topic));
        prop_assert!(!matches!(topics.parse(&topic), Inbound::Foreign | Inbound::Folder(_)));
    }

    #[test]
    fn no_response_topic_ever_reaches_a_request_or_a_state(topic in "(geosam|x)(/(board-7|fleet|valley|request|response|pad|state)){0,5}") {
        let pad = address(Scope::Device, "pad", Verb::Segment);
        let patterns = ["geosam".to_owned(), "x".to_owned()];
        if topics().allows_response_topic(&topic, &pad, &patterns) && topic.starts_with("geosam") {
            prop_assert!(topic.contains("/response"));
            prop_assert!(matches!(topics().parse(&topic), Inbound::Foreign));
        }
    }
}
