//! The messages between the service and the process of an engine, and how they travel: over a socket pair, as a
//! header in JSON and arrays of `f32` behind it. Both ends are the same program on the same machine.
//!
//! ```text
//! u32 bytes of the header | header | u32 number of arrays | for each: u32 number of values, values
//! ```

use std::io::{self, Read, Write};
use std::path::PathBuf;

use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use zerocopy::IntoBytes;

use super::report::Report;
use super::trial::{Performance, Subject};
use crate::decoder::onnxruntime::OnnxRuntimeOptions;
use crate::decoder::{CpuEngine, FramePoint, FramePrompt};
use crate::family::Family;

/// A header holds a prompt at most.
const MAX_HEADER: u32 = 1 << 20;
/// The embedding and two maps of a chip; the probe's three answers.
const MAX_ARRAYS: u32 = 3;
/// The largest array is SAM 3's map of stride 4: 32 x 288 x 288.
const MAX_VALUES: u32 = 1 << 22;

/// What the service says.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Ask {
    /// The first message: load the library, build or find the engines, decode the probe.
    Start {
        options: OnnxRuntimeOptions,
        /// Directory of the model.
        model: PathBuf,
    },
    /// The first message, and the last: decode the probe on an engine of the processor.
    Try { engine: CpuEngine, subject: Subject, threads: usize },
    /// Prepare a chip and keep it under this number. Arrays: the embedding, then the maps of stride 4 and 8.
    Prepare { chip: u64, family: Family },
    /// Decode a prompt on a chip that is kept; first forget those that the service has given up. An array if the prompt
    /// has a mask: `[L, L]`.
    Decode { chip: u64, prompt: Prompt, forget: Vec<u64> },
}

/// What the process of the engine says.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Tell {
    /// What it does next; the last words of a process that crashes.
    Stage(String),
    /// The probe has been decoded; prompts may come.
    Ready(Report),
    /// The chip is kept and takes so many bytes.
    Prepared { bytes: usize },
    /// The scores; one array, the logits `[4, L, L]`.
    Decoded { scores: [f32; 4], side: usize },
    /// The probe's answers: scores here, and the logits `[4, L, L]` of each prompt as an array.
    Tried { side: usize, scores: Vec<[f32; 4]>, performance: Performance },
    /// It could not be done, and why.
    Failed(String),
}

/// A [`FramePrompt`] on its way, without its mask, which travels as an array.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(super) struct Prompt {
    points: Vec<(f64, f64, bool)>,
    bbox: Option<[f64; 4]>,
}

impl From<&FramePrompt> for Prompt {
    fn from(prompt: &FramePrompt) -> Self {
        let points = prompt.points.iter().map(|p| (p.x, p.y, p.foreground)).collect();
        Self { points, bbox: prompt.bbox }
    }
}

impl From<Prompt> for FramePrompt {
    fn from(prompt: Prompt) -> Self {
        let point = |(x, y, foreground)| FramePoint { x, y, foreground };
        Self { points: prompt.points.into_iter().map(point).collect(), bbox: prompt.bbox, mask: None }
    }
}

/// Sends a message.
///
/// # Errors
/// The other end is gone, or does not read in time.
pub(super) fn send(stream: &mut impl Write, header: &impl Serialize, arrays: &[&[f32]]) -> io::Result<()> {
    let header = serde_json::to_vec(header)?;
    // One write for all that is small.
    let mut start = Vec::with_capacity(header.len() + 16);
    start.extend(length(header.len(), MAX_HEADER)?);
    start.extend(header);
    start.extend(length(arrays.len(), MAX_ARRAYS)?);
    for array in arrays {
        start.extend(length(array.len(), MAX_VALUES)?);
        stream.write_all(&start)?;
        start.clear();
        stream.write_all(array.as_bytes())?;
    }
    stream.write_all(&start)?;
    stream.flush()
}

/// Receives a message.
///
/// # Errors
/// The other end is gone, says nothing in time, or says something that is no message.
pub(super) fn receive<T: DeserializeOwned>(stream: &mut impl Read) -> io::Result<(T, Vec<Vec<f32>>)> {
    let mut header = vec![0; checked(stream, MAX_HEADER)?];
    stream.read_exact(&mut header)?;
    let header = serde_json::from_slice(&header)?;
    let mut arrays = Vec::new();
    for _ in 0..checked(stream, MAX_ARRAYS)? {
        let mut array = vec![0.0_f32; checked(stream, MAX_VALUES)?];
        stream.read_exact(array.as_mut_bytes())?;
        arrays.push(array);
    }
    Ok((header, arrays))
}

fn length(length: usize, most: u32) -> io::Result<[u8; 4]> {
    let fits = u32::try_from(length).ok().filter(|length| *length <= most);
    fits.map(u32::to_ne_bytes).ok_or_else(|| no_message(format!("{length} is more than {most}")))
}

fn checked(stream: &mut impl Read, most: u32) -> io::Result<usize> {
    let mut bytes = [0; 4];
    stream.read_exact(&mut bytes)?;
    let length = u32::from_ne_bytes(bytes);
    if length > most {
        return Err(no_message(format!("a length of {length}, more than {most}")));
    }
    usize::try_from(length).map_err(|_| no_message(format!("a length of {length}")))
}

fn no_message(problem: String) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, format!("this is no message of an engine: {problem}"))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_message_arrives_as_it_was_sent() {
        let prompt = FramePrompt {
            points: vec![FramePoint { x: 0.1 + 0.2, y: 1e-17, foreground: false }],
            bbox: Some([1.0, 2.0, 3.0, 1.0 / 3.0]),
            mask: None,
        };
        let ask = Ask::Decode { chip: 7, prompt: (&prompt).into(), forget: vec![1, 2] };
        let arrays: [&[f32]; 2] = [&[1.5, -0.0], &[]];
        let mut bytes = Vec::new();
        send(&mut bytes, &ask, &arrays).unwrap();
        let (received, values) = receive::<Ask>(&mut bytes.as_slice()).unwrap();
        assert_eq!((&received, values), (&ask, arrays.map(<[f32]>::to_vec).to_vec()));
        let Ask::Decode { prompt: received, .. } = received else { panic!() };
        assert_eq!(FramePrompt::from(received), prompt);
    }

    #[test]
    fn too_much_is_neither_sent_nor_believed() {
        let many = vec![0.0; MAX_VALUES as usize + 1];
        assert!(send(&mut Vec::new(), &Tell::Stage(String::new()), &[&many]).is_err());
        let huge = u32::MAX.to_ne_bytes();
        assert!(receive::<Tell>(&mut huge.as_slice()).is_err());
    }

    proptest! {
        #[test]
        fn any_bytes_are_refused_or_read_without_panic(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
            let _ = receive::<Tell>(&mut bytes.as_slice());
        }
    }
}
