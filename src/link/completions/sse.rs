//! Server-sent events out of bytes, in whatever pieces they come.

use std::borrow::Cow;

/// One event. Bytes that are no UTF-8 are replacement characters: what is around them is worth having.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Event<'a> {
    /// The `event` field; mostly empty.
    pub(super) name: Cow<'a, str>,
    /// The `data` fields, joined by line feeds. Never empty.
    pub(super) data: Cow<'a, str>,
}

/// An event or a line is longer than may be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct TooLong;

/// What has come of a stream and is no whole event yet.
#[derive(Debug)]
pub(super) struct Decoder {
    /// The line that is not over.
    line: Vec<u8>,
    name: Vec<u8>,
    data: Vec<u8>,
    has_data: bool,
    /// The last byte was a carriage return: a line feed belongs to it.
    after_cr: bool,
    begun: bool,
    max_bytes: usize,
}

impl Decoder {
    /// Events of at most `max_bytes`, and lines likewise.
    pub(super) fn new(max_bytes: usize) -> Decoder {
        Decoder {
            line: Vec::new(),
            name: Vec::new(),
            data: Vec::new(),
            has_data: false,
            after_cr: false,
            begun: false,
            max_bytes,
        }
    }

    /// Takes what was read, and hands each event that it completes to `each`.
    ///
    /// # Errors
    /// One is too long. The stream cannot be read on.
    pub(super) fn feed(&mut self, mut bytes: &[u8], mut each: impl FnMut(Event<'_>)) -> Result<(), TooLong> {
        while let Some(first) = bytes.first() {
            if std::mem::take(&mut self.after_cr) && *first == b'\n' {
                bytes = &bytes[1..];
                continue;
            }
            let end = bytes.iter().position(|byte| matches!(byte, b'\n' | b'\r'));
            let (part, rest) = bytes.split_at(end.unwrap_or(bytes.len()));
            if self.line.len() + self.data.len() + part.len() > self.max_bytes {
                return Err(TooLong);
            }
            let Some(ending) = rest.first() else {
                self.line.extend_from_slice(part);
                return Ok(());
            };
            self.after_cr = *ending == b'\r';
            bytes = &rest[1..];
            if self.line.is_empty() {
                self.over(part, &mut each);
            } else {
                let mut line = std::mem::take(&mut self.line);
                line.extend_from_slice(part);
                self.over(&line, &mut each);
                line.clear();
                self.line = line;
            }
        }
        Ok(())
    }

    /// The stream is over. An event whose blank line is missing counts: some servers leave out the last.
    pub(super) fn end(&mut self, mut each: impl FnMut(Event<'_>)) {
        let line = std::mem::take(&mut self.line);
        self.over(&line, &mut each);
        self.over(b"", &mut each);
    }

    /// A line is over.
    fn over(&mut self, line: &[u8], each: &mut impl FnMut(Event<'_>)) {
        let marked = if self.begun { None } else { line.strip_prefix(b"\xEF\xBB\xBF") };
        self.begun = true;
        let line = marked.unwrap_or(line);
        if line.is_empty() {
            if !self.data.is_empty() {
                let (name, data) = (String::from_utf8_lossy(&self.name), String::from_utf8_lossy(&self.data));
                each(Event { name, data });
            }
            self.name.clear();
            self.data.clear();
            self.has_data = false;
            return;
        }
        let (field, value) = match line.iter().position(|byte| *byte == b':') {
            // No field begins so: a gateway that fails in mid-stream writes its JSON without one.
            _ if line[0] == b'{' => (&b"data"[..], line),
            Some(colon) => (&line[..colon], &line[colon + 1..]),
            None => (line, &b""[..]),
        };
        let value = value.strip_prefix(b" ").unwrap_or(value);
        match field {
            b"data" => {
                if self.has_data {
                    self.data.push(b'\n');
                }
                self.has_data = true;
                self.data.extend_from_slice(value);
            }
            b"event" => {
                self.name.clear();
                self.name.extend_from_slice(value);
            }
            // Comments have no name: gateways keep connections open by them.
            _ => {}
        }
    }
}
