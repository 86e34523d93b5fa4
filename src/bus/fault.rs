//! A fault (a panic) in what talks to a broker, of ours or of the library, as an error in place of the end of the thread.

use std::any::Any;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::pin;
use std::task::Poll;

/// Runs a future to its end, or to its fault. What it leaves half done must be of no use to anybody afterwards.
///
/// # Errors
/// What the fault says of itself.
pub(super) async fn caught<T>(future: impl Future<Output = T>) -> Result<T, String> {
    let mut future = pin!(future);
    std::future::poll_fn(move |context| {
        match catch_unwind(AssertUnwindSafe(|| future.as_mut().poll(context))) {
            Ok(polled) => polled.map(Ok),
            Err(fault) => Poll::Ready(Err(words(fault.as_ref()))),
        }
    })
    .await
}

fn words(fault: &(dyn Any + Send)) -> String {
    let text = fault.downcast_ref::<&str>().copied();
    let text = text.or_else(|| fault.downcast_ref::<String>().map(String::as_str));
    text.unwrap_or("it does not say which").chars().take(200).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_fault_is_an_error_with_its_words_and_what_goes_well_is_left_alone() {
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        let well = runtime.block_on(caught(async {
            tokio::task::yield_now().await;
            7
        }));
        assert_eq!(well, Ok(7));
        let kinds = [7u8];
        let ill = runtime.block_on(caught(async {
            tokio::task::yield_now().await;
            assert!(kinds.is_empty(), "a packet of a kind nobody knows");
        }));
        assert_eq!(ill, Err("a packet of a kind nobody knows".to_owned()));
    }
}
