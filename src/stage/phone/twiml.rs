//! TwiML as Twilio reads it, as far as this caller can follow: anything else is refused, not skipped.

/// Something that the carrier does with the call.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Verb {
    /// Opens a two-way media stream, until the server closes it.
    Stream(StreamNoun),
    /// Speaks.
    Say {
        /// The words.
        text: String,
        /// `None`: the carrier's default.
        language: Option<String>,
    },
    /// Puts the caller through.
    Dial(DialNoun),
    /// Asks for keys.
    Gather(GatherNoun),
    /// Presses keys for the far end.
    Press(String),
    /// Goes on with the document there.
    Redirect(String),
    /// Ends the call.
    Hangup,
}

/// `<Dial>`, with or without a `<Number>`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct DialNoun {
    /// Whom to call.
    pub number: String,
    /// Seconds that it rings.
    pub timeout_s: u64,
    /// Asked what to do once that call is over; without it the next verb follows.
    pub action: Option<String>,
    /// Told when somebody answers.
    pub answered: Option<String>,
}

/// `<Gather>` of keys.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct GatherNoun {
    /// What is said meanwhile.
    pub said: String,
    /// Ends the digits, and is none of them.
    pub finish: Option<char>,
    /// So many digits end it, too.
    pub most: Option<usize>,
    /// Told what was keyed in.
    pub action: String,
    /// Whether it is told when that is nothing; else the next verb follows.
    pub on_empty: bool,
}

/// `<Stream>` inside `<Connect>`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct StreamNoun {
    /// `wss://…`
    pub url: String,
    /// The stream's name, when it has one.
    pub name: Option<String>,
    /// Where the stream's start and end are reported.
    pub status_callback: Option<String>,
    /// The token that the upgrade shows, where the carrier is one that knows such.
    pub bearer: Option<String>,
    /// Come back in `start`.
    pub parameters: Vec<(String, String)>,
}

/// Reads a document. The error says what Twilio would not accept.
pub fn parse(xml: &str) -> Result<Vec<Verb>, String> {
    let root = Parser { rest: xml.trim_start_matches('\u{feff}') }.document()?;
    if root.name != "Response" {
        return Err(format!("the root is <{}>, not <Response>", root.name));
    }
    root.only(&[])?;
    root.no_text()?;
    root.children.iter().map(verb).collect()
}

fn verb(element: &Element) -> Result<Verb, String> {
    match element.name.as_str() {
        "Connect" => {
            element.only(&["action", "method"])?;
            element.no_text()?;
            let [stream] = element.children.as_slice() else {
                return Err("<Connect> must hold one <Stream>".to_owned());
            };
            stream_noun(stream).map(Verb::Stream)
        }
        "Say" => {
            element.only(&["language", "voice", "loop"])?;
            element.no_children()?;
            Ok(Verb::Say { text: element.text.trim().to_owned(), language: element.get("language") })
        }
        "Gather" => gather_noun(element).map(Verb::Gather),
        "Dial" => {
            element.only(&["action", "method", "callerId", "timeout", "timeLimit", "answerOnBridge"])?;
            dial_noun(element).map(Verb::Dial)
        }
        "Play" => {
            element.only(&["digits"])?;
            element.no_children()?;
            element.no_text()?;
            let digits = element.get("digits").unwrap_or_default();
            if digits.is_empty() || !digits.chars().all(|c| "0123456789*#wW".contains(c)) {
                return Err("<Play digits> must be of 0-9, *, #, w and W".to_owned());
            }
            Ok(Verb::Press(digits))
        }
        "Redirect" => {
            element.only(&["method"])?;
            element.no_children()?;
            if element.get("method").is_some_and(|method| method != "POST") {
                return Err("<Redirect method>: this caller knows POST only".to_owned());
            }
            let url = element.text.trim();
            if url.is_empty() {
                Err("<Redirect> must hold a URL".to_owned())
            } else {
                Ok(Verb::Redirect(url.to_owned()))
            }
        }
        "Hangup" => {
            element.only(&[])?;
            element.no_children()?;
            Ok(Verb::Hangup)
        }
        other => Err(format!("<{other}> is not a verb that this caller knows")),
    }
}

fn gather_noun(element: &Element) -> Result<GatherNoun, String> {
    element.only(&["input", "finishOnKey", "numDigits", "timeout", "actionOnEmptyResult", "method", "action"])?;
    element.no_text()?;
    if element.get("input").is_some_and(|input| input != "dtmf") {
        return Err("<Gather input>: this caller has keys only".to_owned());
    }
    if element.get("method").is_some_and(|method| method != "POST") {
        return Err("<Gather method>: this caller knows POST only".to_owned());
    }
    let within = |name: &str, most: u64| match element.get(name).map(|n| n.parse::<u64>()) {
        None => Ok(None),
        Some(Ok(n)) if (1..=most).contains(&n) => Ok(Some(n)),
        Some(_) => Err(format!("<Gather {name}> must be 1 to {most} (13313)")),
    };
    within("timeout", 120)?;
    let mut finish = element.get("finishOnKey").unwrap_or_else(|| "#".to_owned());
    if !finish.chars().all(|key| "0123456789*#".contains(key)) || finish.len() > 1 {
        return Err("<Gather finishOnKey> must be a key (13310)".to_owned());
    }
    let mut noun = GatherNoun {
        finish: finish.pop(),
        most: within("numDigits", 1_000)?.map(|n| n as usize),
        action: element.get("action").ok_or("<Gather>: this caller needs an action")?,
        on_empty: element.get("actionOnEmptyResult").is_some_and(|on| on == "true"),
        ..GatherNoun::default()
    };
    for child in &element.children {
        let Verb::Say { text, .. } = verb(child)? else { return Err("<Gather> may hold <Say> and <Play>".to_owned()) };
        noun.said.push_str(&text);
    }
    Ok(noun)
}

fn dial_noun(element: &Element) -> Result<DialNoun, String> {
    let post = |element: &Element, name: &str| match element.get(name).is_none_or(|method| method == "POST") {
        true => Ok(()),
        false => Err(format!("{name}: this caller knows POST only")),
    };
    post(element, "method")?;
    let timeout_s = match element.get("timeout").map(|s| s.parse::<u64>()) {
        None => 30,
        Some(Ok(s)) if (5..=600).contains(&s) => s,
        Some(_) => return Err("<Dial timeout> must be 5 to 600 (13212)".to_owned()),
    };
    let mut noun = DialNoun { timeout_s, action: element.get("action"), ..DialNoun::default() };
    noun.number = match element.children.as_slice() {
        [] => element.text.trim().to_owned(),
        [number] if number.name == "Number" => {
            number.only(&["statusCallback", "statusCallbackEvent", "statusCallbackMethod", "sendDigits"])?;
            post(number, "statusCallbackMethod")?;
            if number.get("statusCallbackEvent").is_some_and(|events| events.split(' ').any(|e| e == "answered")) {
                noun.answered = number.get("statusCallback");
            }
            number.text.trim().to_owned()
        }
        _ => String::new(),
    };
    if noun.number.is_empty() { Err("<Dial> must hold a number".to_owned()) } else { Ok(noun) }
}

fn stream_noun(element: &Element) -> Result<StreamNoun, String> {
    if element.name != "Stream" {
        return Err(format!("<Connect> must hold one <Stream>, not <{}>", element.name));
    }
    element.only(&["url", "name", "track", "statusCallback", "statusCallbackMethod", "authBearerToken"])?;
    element.no_text()?;
    if element.get("track").is_some_and(|track| track != "inbound_track") {
        return Err("a two-way <Stream> has the inbound_track only".to_owned());
    }
    if element.get("statusCallbackMethod").is_some_and(|method| method != "POST") {
        return Err("statusCallbackMethod: this caller knows POST only".to_owned());
    }
    let mut parameters = Vec::new();
    for parameter in &element.children {
        if parameter.name != "Parameter" {
            return Err(format!("<Stream> holds <Parameter>s, not <{}>", parameter.name));
        }
        parameter.only(&["name", "value"])?;
        let (Some(name), Some(value)) = (parameter.get("name"), parameter.get("value")) else {
            return Err("<Parameter> needs name and value".to_owned());
        };
        if name.len() + value.len() >= 500 {
            return Err(format!("<Parameter name=\"{name:.40}\">: name and value must be under 500 characters"));
        }
        parameters.push((name, value));
    }
    Ok(StreamNoun {
        url: element.get("url").ok_or("<Stream> needs a url")?,
        name: element.get("name"),
        status_callback: element.get("statusCallback"),
        bearer: element.get("authBearerToken"),
        parameters,
    })
}

#[derive(Debug, Default)]
struct Element {
    name: String,
    attributes: Vec<(String, String)>,
    children: Vec<Element>,
    text: String,
}

impl Element {
    fn get(&self, name: &str) -> Option<String> {
        self.attributes.iter().find(|(n, _)| n == name).map(|(_, value)| value.clone())
    }

    fn only(&self, allowed: &[&str]) -> Result<(), String> {
        match self.attributes.iter().find(|(name, _)| !allowed.contains(&name.as_str())) {
            Some((name, _)) => Err(format!("<{}> has no attribute {name}", self.name)),
            None => Ok(()),
        }
    }

    fn no_text(&self) -> Result<(), String> {
        if self.text.trim().is_empty() { Ok(()) } else { Err(format!("text in <{}>", self.name)) }
    }

    fn no_children(&self) -> Result<(), String> {
        if self.children.is_empty() { Ok(()) } else { Err(format!("elements in <{}>", self.name)) }
    }
}

/// The part of XML 1.0 that TwiML is written in: no document type, no CDATA, no namespaces.
struct Parser<'a> {
    rest: &'a str,
}

impl<'a> Parser<'a> {
    /// Deeper than any TwiML.
    const MAX_DEPTH: usize = 16;

    fn document(mut self) -> Result<Element, String> {
        self.skip_misc()?;
        let root = self.element(0)?;
        self.skip_misc()?;
        if self.rest.is_empty() { Ok(root) } else { Err("something follows </Response>".to_owned()) }
    }

    /// Space, declarations and comments.
    fn skip_misc(&mut self) -> Result<(), String> {
        loop {
            self.rest = self.rest.trim_start();
            if self.rest.starts_with("<?") {
                self.until("?>")?;
            } else if self.rest.starts_with("<!--") {
                self.until("-->")?;
            } else {
                return Ok(());
            }
        }
    }

    fn element(&mut self, depth: usize) -> Result<Element, String> {
        if depth > Self::MAX_DEPTH {
            return Err("too deep".to_owned());
        }
        self.expect("<")?;
        let mut element = Element { name: self.name()?.to_owned(), ..Element::default() };
        loop {
            let spaced = self.rest.starts_with(char::is_whitespace);
            self.rest = self.rest.trim_start();
            if self.take("/>") {
                return Ok(element);
            }
            if self.take(">") {
                break;
            }
            if !spaced {
                return Err(format!("<{}> is not well-formed", element.name));
            }
            let name = self.name()?;
            self.rest = self.rest.trim_start();
            self.expect("=")?;
            self.rest = self.rest.trim_start();
            let quote = if self.take("\"") {
                "\""
            } else {
                self.expect("'")?;
                "'"
            };
            let value = self.until(quote)?;
            if value.contains('<') {
                return Err(format!("< in the attribute {name}"));
            }
            if element.get(name).is_some() {
                return Err(format!("<{}> has {name} twice", element.name));
            }
            element.attributes.push((name.to_owned(), unescape(value)?));
        }
        loop {
            let end = self.rest.find('<').ok_or_else(|| format!("<{}> is not closed", element.name))?;
            let (text, rest) = self.rest.split_at(end);
            element.text.push_str(&unescape(text)?);
            self.rest = rest;
            if self.rest.starts_with("<!--") {
                self.until("-->")?;
            } else if self.take("</") {
                if self.name()? != element.name {
                    return Err(format!("<{}> is not closed", element.name));
                }
                self.rest = self.rest.trim_start();
                self.expect(">")?;
                return Ok(element);
            } else {
                element.children.push(self.element(depth + 1)?);
            }
        }
    }

    fn name(&mut self) -> Result<&'a str, String> {
        let end = self.rest.find(|c: char| !c.is_ascii_alphanumeric()).unwrap_or(self.rest.len());
        let (name, rest) = self.rest.split_at(end);
        self.rest = rest;
        if name.is_empty() { Err(format!("a name is missing at {:.20}", rest)) } else { Ok(name) }
    }

    fn until(&mut self, end: &str) -> Result<&'a str, String> {
        let (inside, rest) = self.rest.split_once(end).ok_or_else(|| format!("{end} is missing"))?;
        self.rest = rest;
        Ok(inside)
    }

    fn take(&mut self, token: &str) -> bool {
        match self.rest.strip_prefix(token) {
            Some(rest) => {
                self.rest = rest;
                true
            }
            None => false,
        }
    }

    fn expect(&mut self, token: &str) -> Result<(), String> {
        if self.take(token) { Ok(()) } else { Err(format!("{token} is missing at {:.20}", self.rest)) }
    }
}

fn unescape(text: &str) -> Result<String, String> {
    let mut out = String::with_capacity(text.len());
    let mut rest = text;
    while let Some((before, after)) = rest.split_once('&') {
        out.push_str(before);
        let (entity, after) = after.split_once(';').ok_or("a bare &")?;
        let number = |digits: &str, radix| u32::from_str_radix(digits, radix).ok().and_then(char::from_u32);
        let c = match entity {
            "amp" => Some('&'),
            "lt" => Some('<'),
            "gt" => Some('>'),
            "quot" => Some('"'),
            "apos" => Some('\''),
            _ => match (entity.strip_prefix("#x"), entity.strip_prefix('#')) {
                (Some(hex), _) => number(hex, 16),
                (None, Some(digits)) => number(digits, 10),
                (None, None) => None,
            },
        };
        out.push(c.ok_or_else(|| format!("&{entity:.20}; is not known"))?);
        rest = after;
    }
    out.push_str(rest);
    Ok(out)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::link::twilio::twiml;

    #[test]
    fn what_the_server_writes_is_read_back() {
        let xml = twiml::connect_stream("wss://h/m", "call", Some("https://h/s?a&b"), &[("token", "<\"'&>\n ü")]);
        let stream = StreamNoun {
            url: "wss://h/m".into(),
            name: Some("call".into()),
            status_callback: Some("https://h/s?a&b".into()),
            bearer: None,
            parameters: vec![("token".into(), "<\"'&>\n ü".into())],
        };
        assert_eq!(parse(&xml), Ok(vec![Verb::Stream(stream), Verb::Hangup]));
        let say = Verb::Say { text: "No & <no>".into(), language: Some("en-GB".into()) };
        assert_eq!(parse(&twiml::refuse("No & <no>", Some("en-GB"))), Ok(vec![say, Verb::Hangup]));
        let asked = GatherNoun {
            said: "Your <PIN>".into(),
            finish: Some('#'),
            most: Some(9),
            action: "https://h/a?try=1&b=2".into(),
            on_empty: true,
        };
        let digits = twiml::ask_for_digits("Your <PIN>", 8, "https://h/a?try=1&b=2");
        assert_eq!(parse(&digits), Ok(vec![Verb::Gather(asked), Verb::Hangup]));
        let dialled = DialNoun { number: "+1415".into(), timeout_s: 30, ..DialNoun::default() };
        assert_eq!(parse(&twiml::dial("+1415")), Ok(vec![Verb::Dial(dialled.clone()), Verb::Hangup]));
        let asked = twiml::dial_or_ask("+1415", 25, "https://h/a?x=1&y=2", "https://h/b");
        let (action, answered) = (Some("https://h/a?x=1&y=2".into()), Some("https://h/b".into()));
        let dialled = DialNoun { timeout_s: 25, action, answered, ..dialled };
        assert_eq!(parse(&asked), Ok(vec![Verb::Dial(dialled), Verb::Hangup]));
        let back = twiml::connect_or_ask("wss://h/m", "n", None, &[], "https://h/back?x=1&y=2");
        let press = parse(&twiml::press_first("1w#", &back)).unwrap();
        assert_eq!(press[0], Verb::Press("1w#".into()));
        assert!(matches!(&press[1], Verb::Stream(noun) if noun.url == "wss://h/m"));
        assert_eq!(press[2], Verb::Redirect("https://h/back?x=1&y=2".into()));
    }

    #[test]
    fn what_twilio_would_refuse_is_refused() {
        for xml in [
            "",
            "Hello",
            "<Response>",
            "<response></response>",
            "<Response><Hangup></Response>",
            "<Response><Hangup/></Response>x",
            "<Response><HangUp/></Response>",
            "<Response>text</Response>",
            "<Response><Say>a & b</Say></Response>",
            "<Response><Say a=b>x</Say></Response>",
            "<Response><Connect/></Response>",
            "<Response><Connect><Stream/></Connect></Response>",
            "<Response><Connect><Stream url='wss://h' track='both_tracks'/></Connect></Response>",
            "<Response><Connect><Stream url='wss://h' url='wss://i'/></Connect></Response>",
            "<Response><Connect><Stream url='wss://h'><Parameter name='x'/></Stream></Connect></Response>",
            "<Response><Gather/></Response>",
            "<Response><Gather action='/a' input='speech'/></Response>",
            "<Response><Gather action='/a' numDigits='0'/></Response>",
            "<Response><Gather action='/a'><Hangup/></Gather></Response>",
            "<Response><Dial/></Response>",
            "<Response><Redirect/></Response>",
        ] {
            assert!(parse(xml).is_err(), "{xml}");
        }
        assert!(parse(&"<Response>".repeat(1_000)).is_err());
    }

    proptest! {
        #[test]
        fn any_text_survives_the_way(text in "\\PC{0,40}") {
            let expected = vec![Verb::Say { text: text.trim().to_owned(), language: None }, Verb::Hangup];
            prop_assert_eq!(parse(&twiml::refuse(&text, None)), Ok(expected));
            let _ = parse(&text);
            let _ = parse(&format!("<Response><Say {text}</Response>"));
        }
    }
}
