//! Times as people and programs write them (RFC 3339, section 5.6), with an offset from UTC where they have one. Writing is humantime's.

use std::time::{Duration, SystemTime};

/// A date and time of day; without an offset, or with `Z`, in UTC.
///
/// humantime reads no offset behind whole seconds, and passes over one behind a fraction of a second, which Python's `isoformat` and
/// .NET's round-trip format write: hours would be lost in silence.
pub(crate) fn time(text: &str) -> Option<SystemTime> {
    let text = text.trim();
    let (local, offset) = match text.len().checked_sub(6).and_then(|at| text.split_at_checked(at)) {
        Some((local, offset)) if offset.starts_with(['+', '-']) && local.contains(['T', 't', ' ']) => {
            (local, Some(offset))
        }
        _ => (text, None),
    };
    // A second offset, or one of another form (`+0200`), which would be passed over.
    let of_day = local.split_once(['T', 't', ' ']).map_or("", |(_, of_day)| of_day);
    if of_day.contains(['+', '-']) || offset.is_some() && of_day.ends_with(['Z', 'z']) {
        return None;
    }
    let local = humantime::parse_rfc3339_weak(local).ok()?;
    let Some(offset) = offset else { return Some(local) };
    let (hours, minutes) = offset[1..].split_once(':')?;
    let part = |digits: &str, most: u64| {
        let is_part = digits.len() == 2 && digits.bytes().all(|b| b.is_ascii_digit());
        digits.parse::<u64>().ok().filter(|&part| is_part && part <= most)
    };
    let distance = Duration::from_secs(part(hours, 23)? * 3600 + part(minutes, 59)? * 60);
    if offset.starts_with('+') { local.checked_sub(distance) } else { local.checked_add(distance) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_offset_is_taken_off_whatever_stands_before_it() {
        let noon = humantime::parse_rfc3339("2026-05-01T12:00:00Z").unwrap();
        for same in [
            "2026-05-01T12:00:00Z",
            "2026-05-01 12:00:00",
            "2026-05-01T14:00:00+02:00",
            "2026-05-01T14:00:00.000+02:00",
            "2026-05-01T14:00:00.0000000+02:00",
            "2026-05-01T08:30:00.000000-03:30",
            "2026-05-02T01:45:00+13:45",
            "2026-05-01T12:00:00.000000+00:00",
        ] {
            assert_eq!(time(same), Some(noon), "{same}");
        }
    }

    #[test]
    fn what_is_no_time_or_has_an_offset_of_another_form_is_none() {
        for text in [
            "",
            "May",
            "2026-05-01T12:00:00.5+0200",
            "2026-05-01T12:00:00+0200",
            "2026-05-01T12:00:00+02:00+02:00",
            "2026-05-01T12:00:00+24:00",
            "2026-05-01T12:00:00++2:00",
            "2026-05-01T12:00:00.5Z+02:00",
            "1970-01-01T00:00:00+99:99",
            "ä+02:00",
        ] {
            assert_eq!(time(text), None, "{text}");
        }
    }
}
