//! How far a sweep is: a bar at a terminal, plain lines elsewhere.

use std::io::IsTerminal as _;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use indicatif::{ProgressBar, ProgressStyle};
use offhook::output::remark;

/// Between two plain lines.
const EVERY: Duration = Duration::from_secs(3);

/// Tells of progress on standard error.
pub(super) struct Told {
    bar: Option<ProgressBar>,
    /// When the last plain line was written; `None`: nobody wants any.
    last: Option<Mutex<Instant>>,
}

impl Told {
    /// Tells nothing unless `wanted`.
    pub(super) fn new(wanted: bool) -> Told {
        let terminal = std::io::stderr().is_terminal();
        let bar = (wanted && terminal).then(|| {
            let bar = ProgressBar::new(0);
            let style = ProgressStyle::with_template("{msg:>10} {wide_bar} {pos}/{len} {elapsed} left {eta}");
            bar.set_style(style.unwrap_or_else(|_| ProgressStyle::default_bar()));
            bar
        });
        Told { bar, last: (wanted && !terminal).then(|| Mutex::new(Instant::now())) }
    }

    /// What the sweep calls.
    pub(super) fn progress(&self) -> impl Fn(&'static str, usize, usize) + Sync + '_ {
        move |what, done, all| {
            if let Some(bar) = &self.bar {
                if bar.length() != Some(all as u64) || bar.message() != what {
                    bar.set_message(what);
                    bar.set_length(all as u64);
                }
                bar.set_position(done as u64);
            }
            if let Some(last) = &self.last {
                let mut last = last.lock().unwrap_or_else(PoisonError::into_inner);
                if last.elapsed() >= EVERY {
                    *last = Instant::now();
                    remark(format_args!("{what}: {done} of {all}"));
                }
            }
        }
    }

    /// Takes the bar away.
    pub(super) fn done(&self) {
        if let Some(bar) = &self.bar {
            bar.finish_and_clear();
        }
    }
}
