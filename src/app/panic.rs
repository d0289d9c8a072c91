//! The end of a process that found a bug in itself.

use std::time::Duration;

/// How long the log thread has to write what it was given: many times what a group takes.
const PATIENCE: Duration = Duration::from_millis(300);

/// Makes a thread that panics wait before the process ends, so that the log thread writes what it
/// was given: the inputs that led here are the last of the recording.
pub(super) fn let_the_log_end() {
    let said = std::panic::take_hook();
    std::panic::set_hook(Box::new(move |info| {
        said(info);
        if std::thread::current().name() != Some("log") {
            wait();
        }
    }));
}

#[expect(clippy::disallowed_methods, reason = "the process ends right after")]
fn wait() {
    std::thread::sleep(PATIENCE);
}
