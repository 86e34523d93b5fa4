//! Flags that say which saved objects of a layer are meant: what `fetch` asks for over MQTT.

use std::time::SystemTime;

use super::CliError;
use super::segment_args::{bounds, checked_sides};
use crate::api::CrsChoice;
use crate::geo::Bounds;
use crate::layers::Filter;
use crate::rfc3339;

/// Which saved objects; with several flags those that fit all of them.
#[derive(Debug, Clone, Default, clap::Args)]
#[command(next_help_heading = "Which objects [default: all]")]
pub struct LayerFilterArgs {
    /// The object of this id; may be given several times.
    #[arg(long = "id", value_name = "ID")]
    ids: Vec<String>,

    /// Those that this client saved (property `client`).
    #[arg(long, value_name = "CLIENT")]
    client: Option<String>,

    /// Those saved at this time or later (property `saved_at`): a date, or a time, as 2026-05-01T12:00:00Z or
    /// 2026-05-01T14:00:00+02:00; without an offset in UTC.
    #[arg(long, value_name = "TIME", value_parser = time)]
    since: Option<SystemTime>,

    /// Those saved before this time; a date is its first moment.
    #[arg(long, value_name = "TIME", value_parser = time)]
    until: Option<SystemTime>,

    /// Those whose bounds meet this box in degrees (EPSG:4326): west, south, east, north; west may exceed east, across the
    /// antimeridian.
    #[arg(long = "box", value_name = "W,S,E,N", value_parser = bounds, allow_hyphen_values = true)]
    bbox: Option<Bounds>,
}

impl LayerFilterArgs {
    /// As layers take it.
    ///
    /// # Errors
    /// If the box is none, or nothing can be between the two times.
    pub fn filter(&self) -> Result<Filter, CliError> {
        let bbox = checked_sides(self.bbox, CrsChoice::WGS84)?;
        if let (Some(since), Some(until)) = (self.since, self.until)
            && since >= until
        {
            let text = "--since is not before --until: nothing can be between them";
            return Err(CliError::Usage(text.to_owned()));
        }
        Ok(Filter {
            ids: (!self.ids.is_empty()).then(|| self.ids.iter().cloned().collect()),
            client: self.client.clone(),
            since: self.since,
            until: self.until,
            bbox,
        })
    }
}

/// A time, in UTC where it has no offset; a date alone is its first moment.
fn time(text: &str) -> Result<SystemTime, String> {
    let midnight = format!("{text}T00:00:00Z");
    let parsed = rfc3339::time(text).or_else(|| rfc3339::time(&midnight));
    parsed.ok_or_else(|| {
        "give a date or a time, for example 2026-05-01, 2026-05-01T12:00:00Z or 2026-05-01T14:00:00+02:00"
            .to_owned()
    })
}

#[cfg(test)]
mod tests {
    use clap::Parser as _;

    use super::*;

    #[derive(clap::Parser)]
    struct Line {
        #[command(flatten)]
        which: LayerFilterArgs,
    }

    fn filter(arguments: &[&str]) -> Result<Filter, CliError> {
        Line::try_parse_from(["export"].iter().chain(arguments)).unwrap().which.filter()
    }

    #[test]
    fn without_a_flag_every_object_is_meant() {
        assert!(filter(&[]).unwrap().is_open());
    }

    #[test]
    fn a_date_is_its_first_moment_in_utc() {
        let by_date = filter(&["--since", "2026-05-01", "--until", "2026-05-02"]).unwrap();
        let by_time =
            filter(&["--since", "2026-05-01T00:00:00Z", "--until", "2026-05-02T00:00:00Z"]).unwrap();
        assert_eq!(by_date, by_time);
        let elsewhere =
            filter(&["--since", "2026-05-01T02:00:00+02:00", "--until", "2026-05-01T22:30:00.0-01:30"]);
        assert_eq!(elsewhere.unwrap(), by_time);
        assert!(Line::try_parse_from(["export", "--since", "May"]).is_err());
    }

    #[test]
    fn a_box_across_the_antimeridian_goes_on_beyond_180_degrees() {
        let across = filter(&["--box", "179,-18,-179,-16"]).unwrap();
        assert_eq!(across.bbox, Some([179.0, -18.0, 181.0, -16.0].into()));
    }

    #[test]
    fn what_cannot_be_met_is_refused() {
        let error = filter(&["--since", "2026-05-02", "--until", "2026-05-01"]).unwrap_err();
        assert!(
            error.status() == 2 && error.to_string().contains("--since is not before --until"),
            "{error}"
        );
        let error = filter(&["--box", "9,48,10,47"]).unwrap_err();
        assert!(error.status() == 2 && error.to_string().contains("W,S,E,N"), "{error}");
    }
}
