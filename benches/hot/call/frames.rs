//! The media messages of a line, as Twilio writes them.

use std::ops::Range;

use base64_simd::STANDARD;
use offhook::base::audio::g711;

use super::speech::speech;

/// The stream that the messages are of.
pub(crate) const STREAM: &str = "MZ0123456789abcdef0123456789abcdef";

const HEAD: &str = r#"{"event":"media","sequenceNumber":""#;
const MIDDLE: &str = r#"","media":{"track":"inbound","chunk":"1","timestamp":""#;
const SEQUENCE: Range<usize> = HEAD.len()..HEAD.len() + DIGITS;
const TIMESTAMP: Range<usize> = SEQUENCE.end + MIDDLE.len()..SEQUENCE.end + MIDDLE.len() + DIGITS;
/// Numbers are of one width, so that a message is renewed in place: its making is measured too, and should be next to nothing.
const DIGITS: usize = 10;

/// Frame after frame of one call: 1.6 s of speech, over and over.
#[derive(Debug)]
pub(crate) struct Frames {
    texts: Vec<String>,
    /// Frames given so far.
    given: u64,
}

impl Frames {
    pub(crate) fn new() -> Self {
        let mut codes = Vec::new();
        g711::encode_ulaw(&speech(), &mut codes);
        let text = |frame: &[u8]| {
            let payload = STANDARD.encode_to_string(frame);
            let zero = "0".repeat(DIGITS);
            format!(r#"{HEAD}{zero}{MIDDLE}{zero}","payload":"{payload}"}},"streamSid":"{STREAM}"}}"#)
        };
        Frames { texts: codes.chunks_exact(160).map(text).collect(), given: 0 }
    }

    /// In the place of those that are in use.
    pub(crate) const fn none() -> Self {
        Frames { texts: Vec::new(), given: 0 }
    }

    /// The next 20 ms.
    pub(crate) fn next(&mut self) -> &str {
        let n = self.given;
        self.given += 1;
        let at = n as usize % self.texts.len();
        let text = &mut self.texts[at];
        // The first message of the stream was its start.
        for (place, number) in [(SEQUENCE, n + 2), (TIMESTAMP, n * 20)] {
            text.replace_range(place, str::from_utf8(&digits(number)).unwrap_or_default());
        }
        text
    }
}

fn digits(mut n: u64) -> [u8; DIGITS] {
    let mut digits = [b'0'; DIGITS];
    for digit in digits.iter_mut().rev() {
        *digit += (n % 10) as u8;
        n /= 10;
    }
    digits
}
