//! The TwiML documents that the server answers with.

/// `Content-Type` of a TwiML answer.
pub const CONTENT_TYPE: &str = "text/xml; charset=utf-8";

const HEAD: &str = r#"<?xml version="1.0" encoding="UTF-8"?><Response>"#;
const TAIL: &str = "<Hangup/></Response>";

/// Connects the call to a two-way media stream at `url` (`wss://…`, without a query: Twilio refuses one), and hangs up
/// when the server closes it. `parameters` come back in the stream's `start`; name and value together should stay under
/// 500 characters.
pub fn connect_stream(url: &str, name: &str, status_callback: Option<&str>, parameters: &[(&str, &str)]) -> String {
    let mut xml = String::from(HEAD);
    connect(&mut xml, url, name, status_callback, parameters);
    xml.push_str(TAIL);
    xml
}

/// The same, but asks at `ask` what to do when the stream is over, whoever ended it.
pub fn connect_or_ask(
    url: &str,
    name: &str,
    status_callback: Option<&str>,
    parameters: &[(&str, &str)],
    ask: &str,
) -> String {
    let mut xml = String::from(HEAD);
    connect(&mut xml, url, name, status_callback, parameters);
    redirect(&mut xml, ask);
    xml
}

/// `document`, one of those that connect a stream, with the token that its upgrade is to show: for carriers that sign none.
/// Of letters and digits, there is nothing in it to escape.
pub fn with_bearer(document: &str, token: &str) -> String {
    document.replacen("<Stream ", &format!("<Stream authBearerToken=\"{token}\" "), 1)
}

/// Goes on with the document at `url`, and ends this one.
fn redirect(xml: &mut String, url: &str) {
    xml.push_str("<Redirect method=\"POST\">");
    escape(xml, url);
    xml.push_str("</Redirect></Response>");
}

fn connect(xml: &mut String, url: &str, name: &str, status_callback: Option<&str>, parameters: &[(&str, &str)]) {
    xml.push_str("<Connect><Stream");
    attribute(xml, "url", url);
    attribute(xml, "name", name);
    if let Some(callback) = status_callback {
        attribute(xml, "statusCallback", callback);
    }
    xml.push('>');
    for (name, value) in parameters {
        xml.push_str("<Parameter");
        attribute(xml, "name", name);
        attribute(xml, "value", value);
        xml.push_str("/>");
    }
    xml.push_str("</Stream></Connect>");
}

/// Says why nobody answers, in the carrier's voice, and hangs up. `language` is a tag such as `en-US`; `None` is the
/// carrier's default.
pub fn refuse(text: &str, language: Option<&str>) -> String {
    let mut xml = String::from(HEAD);
    xml.push_str("<Say");
    if let Some(language) = language {
        attribute(&mut xml, "language", language);
    }
    xml.push('>');
    escape(&mut xml, text);
    xml.push_str("</Say>");
    xml.push_str(TAIL);
    xml
}

/// Asks for digits on the keypad, `most` at most, which `#` ends, and tells them `action`; also that none came.
pub fn ask_for_digits(text: &str, most: usize, action: &str) -> String {
    let mut xml = String::from(HEAD);
    xml.push_str("<Gather");
    attribute(&mut xml, "input", "dtmf");
    attribute(&mut xml, "finishOnKey", "#");
    // One more than there can be: who keys in too many is wrong, and is not cut short into being right.
    attribute(&mut xml, "numDigits", &(most + 1).to_string());
    attribute(&mut xml, "timeout", GATHER_S);
    attribute(&mut xml, "actionOnEmptyResult", "true");
    attribute(&mut xml, "method", "POST");
    attribute(&mut xml, "action", action);
    xml.push_str("><Say>");
    escape(&mut xml, text);
    xml.push_str("</Say></Gather>");
    xml.push_str(TAIL);
    xml
}

/// Seconds without a key after which no more is waited for.
const GATHER_S: &str = "8";

/// Hangs up without a word.
pub fn hang_up() -> String {
    format!("{HEAD}{TAIL}")
}

/// Puts the caller through to `number` (E.164), and hangs up when that call is over.
pub fn dial(number: &str) -> String {
    let mut xml = String::from(HEAD);
    xml.push_str("<Dial>");
    escape(&mut xml, number);
    xml.push_str("</Dial>");
    xml.push_str(TAIL);
    xml
}

/// The same, but asks at `action` what to do when nobody there has answered for `ring_s` seconds, or when that call is over,
/// and tells `answered` when somebody has.
pub fn dial_or_ask(number: &str, ring_s: u64, action: &str, answered: &str) -> String {
    let mut xml = String::from(HEAD);
    xml.push_str("<Dial");
    attribute(&mut xml, "action", action);
    attribute(&mut xml, "method", "POST");
    attribute(&mut xml, "timeout", &ring_s.to_string());
    xml.push_str("><Number");
    attribute(&mut xml, "statusCallback", answered);
    attribute(&mut xml, "statusCallbackEvent", "answered");
    xml.push('>');
    escape(&mut xml, number);
    xml.push_str("</Number></Dial>");
    xml.push_str(TAIL);
    xml
}

/// Presses `digits` for the far end before everything that `document` says, one of the others here.
pub fn press_first(digits: &str, document: &str) -> String {
    let mut xml = String::from(HEAD);
    xml.push_str("<Play");
    attribute(&mut xml, "digits", digits);
    xml.push_str("/>");
    xml.push_str(document.strip_prefix(HEAD).unwrap_or(TAIL));
    xml
}

fn attribute(xml: &mut String, name: &str, value: &str) {
    xml.push(' ');
    xml.push_str(name);
    xml.push_str("=\"");
    escape(xml, value);
    xml.push('"');
}

/// Text for an element or a quoted attribute. Characters that XML 1.0 cannot carry are left out.
fn escape(xml: &mut String, text: &str) {
    for c in text.chars() {
        match c {
            '&' => xml.push_str("&amp;"),
            '<' => xml.push_str("&lt;"),
            '>' => xml.push_str("&gt;"),
            '"' => xml.push_str("&quot;"),
            '\'' => xml.push_str("&apos;"),
            // Written out, a parser would turn these into spaces or other line ends.
            '\t' => xml.push_str("&#9;"),
            '\n' => xml.push_str("&#10;"),
            '\r' => xml.push_str("&#13;"),
            '\0'..='\u{1f}' | '\u{fffe}' | '\u{ffff}' => {}
            c => xml.push(c),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_stream_is_connected_with_its_parameters_and_then_hung_up() {
        assert_eq!(
            connect_stream("wss://h/media", "call", Some("https://h/s?a=1&b=2"), &[("token", "t"), ("n", "<\"'&>")]),
            "<?xml version=\"1.0\" encoding=\"UTF-8\"?><Response><Connect><Stream url=\"wss://h/media\" name=\"call\" \
             statusCallback=\"https://h/s?a=1&amp;b=2\"><Parameter name=\"token\" value=\"t\"/><Parameter name=\"n\" \
             value=\"&lt;&quot;&apos;&amp;&gt;\"/></Stream></Connect><Hangup/></Response>"
        );
    }

    #[test]
    fn a_stream_that_is_over_leads_back_and_keys_are_pressed_before_it() {
        let document = connect_or_ask("wss://h/media", "call", None, &[], "https://h/back?a=1&b=2");
        assert!(document.ends_with(
            "</Stream></Connect><Redirect method=\"POST\">https://h/back?a=1&amp;b=2</Redirect></Response>"
        ));
        let pressed = press_first("1w#", &document);
        assert!(
            pressed.contains("<Response><Play digits=\"1w#\"/><Connect><Stream") && pressed.ends_with("</Response>")
        );
    }

    #[test]
    fn a_stream_may_be_told_which_token_its_upgrade_shows() {
        let document = with_bearer(&connect_stream("wss://h/media", "<Stream ", None, &[]), "t1");
        assert!(
            document.contains("<Connect><Stream authBearerToken=\"t1\" url=\"wss://h/media\" name=\"&lt;Stream \">")
        );
    }

    #[test]
    fn a_refusal_is_said_and_cannot_break_out_of_its_element() {
        assert_eq!(
            refuse("Bye</Say>\u{1}\n", Some("en-US")),
            "<?xml version=\"1.0\" encoding=\"UTF-8\"?><Response><Say language=\"en-US\">Bye&lt;/Say&gt;&#10;</Say>\
             <Hangup/></Response>"
        );
        assert!(refuse("Bye", None).contains("<Say>Bye</Say>"));
    }

    #[test]
    fn digits_are_asked_for_and_told_to_the_action() {
        assert_eq!(
            ask_for_digits("PIN & #", 8, "https://h/a?try=1&x=2"),
            "<?xml version=\"1.0\" encoding=\"UTF-8\"?><Response><Gather input=\"dtmf\" finishOnKey=\"#\" \
             numDigits=\"9\" timeout=\"8\" actionOnEmptyResult=\"true\" method=\"POST\" \
             action=\"https://h/a?try=1&amp;x=2\"><Say>PIN &amp; #</Say></Gather><Hangup/></Response>"
        );
    }

    #[test]
    fn a_transfer_dials_the_number() {
        assert!(dial("+14155550100").ends_with("<Dial>+14155550100</Dial><Hangup/></Response>"));
    }
}
