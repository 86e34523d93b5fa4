//! `segment --request`: the requests of a stream, each answered by a line.

use std::fs::File;
use std::io::{BufRead, BufReader};
use std::path::Path;

use serde_json::Value;

use super::documents::{Document, Documents};
use super::masks::LastMasks;
use super::{Asker, LIMITS};
use crate::ErrorCode;
use crate::api::{
    JsonError, PromptItem, Request, RequestError, RequestId, Response, check_keys, is_utf16,
    parse_request_with,
};
use crate::cli::CliError;
use crate::cli::output::{Output, note};
use crate::engine::{MaskInput, Segmentation};

/// How many prompts were answered, and how many were not.
#[derive(Debug, Default)]
pub(super) struct Tally {
    answered: usize,
    refused: usize,
}

impl Tally {
    pub(super) fn count(&mut self, is_answered: bool) {
        *if is_answered { &mut self.answered } else { &mut self.refused } += 1;
    }

    /// Tells it, and whether all were answered.
    pub(super) fn tell(&self) -> bool {
        note(&format_args!("{} answered, {} refused", self.answered, self.refused));
        self.refused == 0
    }
}

/// Answers all requests of a file, `-` for standard input; `defaults` is what a request does not say. One response a
/// line, in order; `false` where a prompt was refused.
pub(super) fn answer(
    asker: &Asker<'_>,
    requests: &Path,
    defaults: &PromptItem,
    output: &Path,
) -> Result<bool, CliError> {
    let input: Box<dyn BufRead> = if requests == Path::new("-") {
        Box::new(BufReader::new(std::io::stdin()))
    } else {
        Box::new(BufReader::new(File::open(requests).map_err(CliError::file(requests))?))
    };
    let mut output = Output::create(output)?;
    let mut documents = Documents::new(input, LIMITS.max_payload_bytes);
    let (mut tally, mut masks) = (Tally::default(), LastMasks::default());
    let mut is_first = true;
    while let Some(document) = documents.next().map_err(CliError::file(requests))? {
        for (place, text) in requests_in(&document) {
            let response = respond(asker, &place, document.line, &text, defaults, (&mut tally, &mut masks))?;
            output.json_line(&response)?;
        }
        // Of such a file no line is one of bytes: it is told once.
        if is_first && is_utf16(&document.text) {
            break;
        }
        is_first = false;
    }
    output.finish()?;
    Ok(tally.tell())
}

/// The requests of a document with their places: itself, or the entries of an array.
fn requests_in(document: &Document) -> Vec<(String, Vec<u8>)> {
    let place = format!("line {}", document.line);
    if document.text.trim_ascii_start().starts_with(b"[")
        && let Ok(entries) = serde_json::from_slice::<Vec<Value>>(&document.text)
        && !entries.is_empty()
    {
        let entry = |(index, value): (usize, Value)| {
            (format!("{place}, entry {index}"), value.to_string().into_bytes())
        };
        return entries.into_iter().enumerate().map(entry).collect();
    }
    // What ends a line is none of the text, or its end would be told as one of the next line.
    vec![(place, document.text.trim_ascii_end().to_vec())]
}

fn respond(
    asker: &Asker<'_>,
    place: &str,
    line: u64,
    text: &[u8],
    defaults: &PromptItem,
    (tally, masks): (&mut Tally, &mut LastMasks),
) -> Result<Response, CliError> {
    let parsed = parse_request_with(text, &LIMITS, defaults).and_then(|request| {
        // What another verb takes would be passed over here.
        let checked = check_keys("segment", &request.said);
        checked.map_err(|error| (request.id().cloned(), error)).map(|()| request)
    });
    let request = match parsed {
        Ok(request) => request,
        Err((id, error)) => {
            tally.count(false);
            let (place, problem) = told(place, line, &error);
            let message = format!("{place}: {problem}{}", advice(text));
            return Ok(Response::error(id, error.code(), message));
        }
    };
    let Request { item, batch, mask_of, .. } = request;
    let name = item.id.as_ref().map_or_else(|| line.to_string(), ToString::to_string);
    let Some(entries) = batch else {
        let response = answer_one(asker, &item, (&name, mask_of.as_ref()), || advice(text), masks)?;
        tally.count(response.is_ok());
        return Ok(response);
    };
    let mut results = Vec::with_capacity(entries.len());
    for (index, entry) in entries.iter().enumerate() {
        let asked = asker.segment(entry, &format!("{name}.{index}"));
        let response = response(entry, asked, String::new)?;
        tally.count(response.is_ok());
        results.push(response);
    }
    Ok(Response::batch(item.id, results))
}

/// Answers one prompt, from the mask of an earlier answer where it names one.
fn answer_one(
    asker: &Asker<'_>,
    item: &PromptItem,
    (name, mask_of): (&str, Option<&RequestId>),
    advice: impl FnOnce() -> String,
    masks: &mut LastMasks,
) -> Result<Response, CliError> {
    let answer = match mask_of.map(|id| masks.of(id)) {
        None => asker.segment(item, name),
        Some(Ok(mask)) => asker.segment_from(item, name, MaskInput::Given(mask)),
        Some(Err(text)) => return Ok(Response::error(item.id.clone(), ErrorCode::UnknownMask, text)),
    };
    if let (Some(id), Ok(segmentation)) = (&item.id, &answer) {
        masks.keep(id, segmentation);
    }
    response(item, answer, advice)
}

/// The response of what came of an item; what is not the item's own fault ends all.
fn response(
    item: &PromptItem,
    answer: Result<Segmentation, CliError>,
    advice: impl FnOnce() -> String,
) -> Result<Response, CliError> {
    let mut response = match answer {
        Ok(segmentation) => segmentation.into_response(item.id.clone()),
        Err(CliError::Engine(error)) => {
            Response::error(item.id.clone(), error.code(), format!("{error}{}", advice()))
        }
        Err(other) => return Err(other),
    };
    response.properties.clone_from(&item.properties);
    Ok(response)
}

/// What is wrong with a request that begins in this line, and its place in the whole input, as exactly as it is known.
pub(in crate::cli) fn told(place: &str, line: u64, error: &RequestError) -> (String, String) {
    let at = |in_text: u64, column: u64| format!("line {}, column {column}", line + in_text - 1);
    match error {
        RequestError::Json(JsonError::Syntax(syntax)) if syntax.line() > 0 => {
            let text = syntax.to_string();
            let text = text.rsplit_once(" at line ").map_or(text.as_str(), |(text, _)| text);
            let place = at(syntax.line() as u64, syntax.column() as u64);
            (place, format!("this is not valid JSON: {text}"))
        }
        RequestError::Json(JsonError::NotUtf8 { at: found }) => {
            (at(found.line, found.column), format!("{found}; save the file as UTF-8"))
        }
        RequestError::Json(JsonError::Utf16) => (
            place.to_owned(),
            "this is UTF-16, and JSON is UTF-8 (RFC 8259, 8.1); save the file as UTF-8".to_owned(),
        ),
        other => (place.to_owned(), other.to_string()),
    }
}

/// For a collection of several features, which is one prompt here; empty, or a clause of its own.
fn advice(text: &[u8]) -> String {
    let several = serde_json::from_slice::<Value>(text).is_ok_and(|tree| {
        tree["type"] == "FeatureCollection" && tree["features"].as_array().is_some_and(|list| list.len() > 1)
    });
    let told = "; a FeatureCollection is one prompt here: where each feature is an object of its own, give the file \
                as --prompts, or say \"geosam\": {\"objects\": \"each\"}";
    if several { told.to_owned() } else { String::new() }
}
