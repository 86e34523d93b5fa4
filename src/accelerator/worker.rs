//! The process of an engine: does what the service asks over the socket that is its standard input, until that is
//! closed. Standard output and error are the service's log.

use std::io;
use std::os::fd::AsFd;
use std::os::unix::net::UnixStream;
use std::os::unix::process::parent_id;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::time::Duration;

use signal_hook::consts::{SIGINT, SIGTERM};

use super::trial;
use super::wire::{Ask, Tell, receive, send};
use crate::decoder::CpuEngine;

/// Does what the first message says: tries an engine of the processor, or serves ONNX Runtime until the service is gone.
///
/// # Errors
/// Standard input is no socket, or the service talks nonsense.
pub fn work() -> io::Result<()> {
    leave_with_the_service()?;
    let mut stream = UnixStream::from(io::stdin().as_fd().try_clone_to_owned()?);
    match receive::<Ask>(&mut stream)?.0 {
        Ask::Try { engine, subject, threads } => try_engine(&mut stream, engine, &subject, threads),
        #[cfg(feature = "tensorrt")]
        Ask::Start { options, model } => super::onnxruntime_worker::serve(&mut stream, &options, &model),
        #[cfg(not(feature = "tensorrt"))]
        Ask::Start { .. } => {
            send(&mut stream, &Tell::Failed(super::AcceleratorError::NotBuiltIn.to_string()), &[])
        }
        Ask::Prepare { .. } | Ask::Decode { .. } => {
            Err(io::Error::new(io::ErrorKind::InvalidData, "the first message is no start"))
        }
    }
}

fn try_engine(
    stream: &mut UnixStream,
    engine: CpuEngine,
    subject: &trial::Subject,
    threads: usize,
) -> io::Result<()> {
    #[cfg(debug_assertions)]
    if std::env::var_os(crate::decoder::BREAK_A_KERNEL).is_some() {
        crate::decoder::break_a_kernel();
    }
    // A service that is gone is noticed with the last message.
    let stage = |stage: &str| drop(send(&mut *stream, &Tell::Stage(stage.to_owned()), &[]));
    match trial::try_here(engine, subject, threads, stage) {
        Ok(trial) => {
            let (tell, logits) = trial::told(trial);
            let arrays: Vec<&[f32]> = logits.iter().map(Vec::as_slice).collect();
            send(stream, &tell, &arrays)
        }
        Err(message) => send(stream, &Tell::Failed(message), &[]),
    }
}

/// Ends with the service, however that ends, and not before it: systemd signals all processes of a unit, and an answer
/// under way shall still be given. Where memory is short, this process goes and the service stays.
fn leave_with_the_service() -> io::Result<()> {
    let signalled = Arc::new(AtomicBool::new(false));
    for signal in [SIGTERM, SIGINT] {
        signal_hook::flag::register(signal, Arc::clone(&signalled))?;
    }
    // Raising one's own score needs no privilege (`proc(5)`); without it, the kernel takes the largest process.
    let _ = std::fs::write("/proc/self/oom_score_adj", "500");
    let service = parent_id();
    let watch = move || {
        while parent_id() == service {
            std::thread::sleep(Duration::from_millis(500));
        }
        std::process::exit(0);
    };
    std::thread::Builder::new().name("parent".to_owned()).spawn(watch).map(drop)
}
