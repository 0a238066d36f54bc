//! A moment of a call as people write it.

use std::fmt;

use crate::base::time::CallTime;

/// Why a moment cannot be explained.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum MomentError {
    /// It is not written as one.
    Unreadable(String),
    /// The call had ended by then.
    BeyondTheEnd {
        /// The moment.
        moment: CallTime,
        /// How long the call lasted.
        length: CallTime,
    },
}

impl fmt::Display for MomentError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            MomentError::Unreadable(text) => {
                write!(f, "{text:?} is no moment: write MM:SS.mmm, MM:SS or seconds, such as 02:13.400 or 133.4")
            }
            MomentError::BeyondTheEnd { moment, length } => {
                write!(f, "{moment} is after the call's end: it lasted {length}")
            }
        }
    }
}

impl std::error::Error for MomentError {}

/// Reads `MM:SS.mmm`, `MM:SS` or seconds, each with up to three decimals (`02:13.4` is 400 ms after 02:13), within a call
/// of this length.
pub fn parse_moment(text: &str, length: CallTime) -> Result<CallTime, MomentError> {
    let moment = read(text).ok_or_else(|| MomentError::Unreadable(text.to_owned()))?;
    // The end itself is shown with millisecond digits only.
    if moment.as_ms() > length.as_ms() { Err(MomentError::BeyondTheEnd { moment, length }) } else { Ok(moment) }
}

fn read(text: &str) -> Option<CallTime> {
    let (whole, fraction) = text.split_once('.').unwrap_or((text, "0"));
    let (minutes, seconds) = match whole.split_once(':') {
        Some((minutes, seconds)) if seconds.len() == 2 => {
            (digits(minutes)?, Some(digits(seconds)?).filter(|s| *s < 60)?)
        }
        Some(_) => return None,
        None => (0, digits(whole)?),
    };
    if fraction.len() > 3 {
        return None;
    }
    let ms = digits(fraction)? * 10_u64.pow(3 - fraction.len() as u32);
    Some(CallTime::from_ms((minutes * 60 + seconds) * 1_000 + ms))
}

/// Up to eight digits and nothing else: three years in seconds.
fn digits(text: &str) -> Option<u64> {
    let fine = (1..=8).contains(&text.len()) && text.bytes().all(|b| b.is_ascii_digit());
    if fine { text.parse().ok() } else { None }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_moment_is_minutes_and_seconds_or_seconds() {
        let length = CallTime::from_ms(10_000_000);
        let ms = |text| parse_moment(text, length).map(CallTime::as_ms);
        assert_eq!(ms("02:13.400"), Ok(133_400));
        assert_eq!(ms("02:13.4"), Ok(133_400));
        assert_eq!(ms("2:13"), Ok(133_000));
        assert_eq!(ms("133.04"), Ok(133_040));
        assert_eq!(ms("100:00"), Ok(6_000_000));
        assert_eq!(ms("0"), Ok(0));
        for wrong in ["", ":", "1:2", "1:60", "-1", "1:2:3", "1.2345", "1.", ".5", "1e3", "９", "+1", "999999999"] {
            assert_eq!(ms(wrong), Err(MomentError::Unreadable(wrong.to_owned())), "{wrong}");
        }
    }

    #[test]
    fn after_the_end_is_an_error_that_says_the_length() {
        let length = CallTime::from_us(72_400_900);
        assert_eq!(parse_moment("01:12.400", length), Ok(CallTime::from_ms(72_400)));
        let error = parse_moment("01:12.401", length).unwrap_err();
        assert_eq!(error.to_string(), "01:12.401 is after the call's end: it lasted 01:12.400");
    }
}
