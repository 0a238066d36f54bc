//! What the server's own ears heard of the caller, as a curve over the waveform. It is in the journal alone.

use std::fmt::{self, Write as _};

use crate::config::TurnDetection;
use crate::lab::journal::{Journal, Kind};

/// Points in a picture at most: a minute and a half of steps. Beyond that each is the loudest of several.
const MAX_POINTS: usize = 6_000;

/// Points further apart than this are not joined: nothing was heard in between.
const APART_MS: u64 = 500;

/// Speech probability over time.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Curve {
    /// From here on a step is speech, 0–1.
    pub threshold: f32,
    /// Running speech pauses below this, 0–1.
    pub stop_below: f32,
    /// Call time in milliseconds and probability in per mille.
    pub points: Vec<(u64, u16)>,
    /// How far apart the points are where nothing is missing, in steps.
    thinned: usize,
}

impl Curve {
    /// The curve of a journal; `None` when our own ears did not decide, or heard nothing.
    pub(super) fn of(journal: &Journal) -> Option<Curve> {
        let TurnDetection::Local(turn) = &journal.settings.turn_detection else { return None };
        let heard = journal.entries.iter().filter_map(|entry| match entry.kind {
            Kind::Heard { probability, .. } => Some((entry.at.as_ms(), probability.per_mille())),
            _ => None,
        });
        let mut points: Vec<_> = heard.collect();
        let thinned = points.len().div_ceil(MAX_POINTS).max(1);
        if thinned > 1 {
            let loudest = |part: &[(u64, u16)]| Some((part.first()?.0, part.iter().map(|point| point.1).max()?));
            points = points.chunks(thinned).filter_map(loudest).collect();
        }
        let stop_below = (turn.threshold - turn.hysteresis).max(0.0);
        (!points.is_empty()).then_some(Curve { threshold: turn.threshold, stop_below, points, thinned })
    }

    /// The part of the curve whose points `place` gives an x for, drawn between `top` (1) and `top + height` (0).
    pub(super) fn write(
        &self,
        out: &mut String,
        top: f64,
        height: f64,
        place: impl Fn(u64) -> Option<f64>,
    ) -> fmt::Result {
        let apart = APART_MS * self.thinned as u64;
        let mut last: Option<u64> = None;
        for &(ms, per_mille) in &self.points {
            let Some(x) = place(ms) else { continue };
            let y = top + height * (1.0 - f64::from(per_mille) / 1_000.0);
            let command = match last {
                None => "<path class=\"heard\" d=\"M",
                Some(before) if ms.saturating_sub(before) > apart => "M",
                Some(_) => "L",
            };
            write!(out, "{command}{x:.1} {y:.1}")?;
            last = Some(ms);
        }
        if last.is_some() {
            out.push_str("\"><title>Speech probability of the caller, 0 to 1</title></path>\n");
        }
        Ok(())
    }
}
