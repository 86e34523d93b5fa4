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
