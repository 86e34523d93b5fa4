//! What MQTT itself says of topics and filters, whoever uses them.

/// The longest topic MQTT can carry (MQTT 5, 1.5.4).
pub(super) const MAX_TOPIC_BYTES: usize = 65_535;

/// Checks that a message can be published to a topic (MQTT 5, 4.7): not empty, not too long, without
/// wildcards or a null character.
///
/// # Errors
/// Says what is wrong.
pub(super) fn check_topic(topic: &str) -> Result<(), &'static str> {
    match topic {
        "" => Err("is empty"),
        long if long.len() > MAX_TOPIC_BYTES => Err("is longer than MQTT's 65535 bytes"),
        wild if wild.contains(['+', '#']) => Err("has a wildcard (+ or #), which only a subscription may"),
        null if null.contains('\0') => Err("has a null character"),
        _ => Ok(()),
    }
}

/// The longest response topic of a request, in bytes.
pub(super) const MAX_RESPONSE_TOPIC: usize = 256;
/// The most levels of one. mosquitto ends the connection that publishes to more than 200.
const MAX_RESPONSE_LEVELS: usize = 32;

/// Checks the response topic of a request, which a stranger has chosen and we are to publish to. A broker passes it
/// on as a property without a look, and may end the connection when it comes back as a topic; so it is bounded, its
/// levels are not empty, and it has none of the characters that MQTT lets a receiver hang up on (MQTT 5, 1.5.4).
///
/// # Errors
/// Says what is wrong and what would be right.
pub(super) fn check_response_topic(topic: &str) -> Result<(), &'static str> {
    check_topic(topic)?;
    let is_odd = |c: char| {
        c.is_control() || (0xFDD0..=0xFDEF).contains(&u32::from(c)) || u32::from(c) & 0xFFFE == 0xFFFE
    };
    match topic {
        long if long.len() > MAX_RESPONSE_TOPIC => Err("is longer than 256 bytes"),
        deep if deep.split('/').count() > MAX_RESPONSE_LEVELS => Err("has more than 32 levels"),
        gap if gap.split('/').any(str::is_empty) => Err("has an empty level"),
        system if system.starts_with('$') => Err("starts with $, which is the broker's own"),
        odd if odd.contains(is_odd) => Err("has a control character"),
        _ => Ok(()),
    }
}

/// Checks a topic filter (MQTT 5, 4.7.1): wildcards fill a whole level, `#` only the last.
///
/// # Errors
/// Says what is wrong.
pub(super) fn check_filter(filter: &str) -> Result<(), &'static str> {
    if filter.is_empty() {
        return Err("is empty");
    }
    if filter.len() > MAX_TOPIC_BYTES || filter.contains('\0') {
        return Err("is too long or has a null character");
    }
    let levels: Vec<&str> = filter.split('/').collect();
    for (index, level) in levels.iter().enumerate() {
        if level.len() > 1 && level.contains(['+', '#']) {
            return Err("has a wildcard that does not fill its level");
        }
        if *level == "#" && index + 1 < levels.len() {
            return Err("goes on after #");
        }
    }
    Ok(())
}

/// Whether a topic matches a filter (MQTT 5, 4.7), the `$share/<group>/` part taken off before.
pub(super) fn matches(filter: &str, topic: &str) -> bool {
    if topic.starts_with('$') != filter.starts_with('$') {
        return false;
    }
    let mut levels = topic.split('/');
    for wanted in filter.split('/') {
        match (wanted, levels.next()) {
            ("#", _) => return true,
            ("+", Some(_)) => {}
            (wanted, Some(level)) if wanted == level => {}
            _ => return false,
        }
    }
    levels.next().is_none()
}

/// A filter without its `$share/<group>/`.
pub(super) fn unshared(filter: &str) -> &str {
    let shared = filter.strip_prefix("$share/").and_then(|rest| rest.split_once('/'));
    shared.map_or(filter, |(_group, filter)| filter)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_response_topic_that_a_broker_might_hang_up_on_is_refused() {
        let deep = "a/".repeat(31) + "a";
        for good in ["a", "geosam/edge/response/c1/segment/7f3a", "Antwort/für Ä", &"x".repeat(256), &deep]
        {
            assert_eq!(check_response_topic(good), Ok(()), "{good}");
        }
        let deeper = "a/".repeat(32) + "a";
        let bad = [
            "",
            "/a",
            "a/",
            "a//b",
            "$SYS/a",
            "a/+",
            "a/#",
            "a\u{7f}",
            "a\tb",
            "a\u{85}",
            "a\u{fffe}",
            "a\u{fdd0}",
            "a\0",
        ];
        for bad in bad.into_iter().chain([deeper.as_str(), &"x".repeat(257), &"/".repeat(250)]) {
            assert!(check_response_topic(bad).is_err(), "{bad:?}");
        }
    }

    #[test]
    fn filters_match_as_mqtt_says() {
        for (filter, topic) in
            [("a/#", "a"), ("a/#", "a/b/c"), ("a/+", "a/b"), ("+/+", "/x"), ("#", "a/b"), ("a/b", "a/b")]
        {
            assert!(matches(filter, topic), "{filter} {topic}");
        }
        for (filter, topic) in [("a/+", "a"), ("a/+", "a/b/c"), ("#", "$SYS/x"), ("a", "a/b"), ("+", "/x")] {
            assert!(!matches(filter, topic), "{filter} {topic}");
        }
        assert_eq!(unshared("$share/g/a/#"), "a/#");
        assert_eq!(unshared("a/#"), "a/#");
        for bad in ["", "a#", "a/#/b", "a+/b", "a\0"] {
            assert!(check_filter(bad).is_err(), "{bad:?}");
        }
        for good in ["#", "+", "a/+/#", "$share/g/a/+", "/"] {
            assert_eq!(check_filter(good), Ok(()));
        }
    }
}
