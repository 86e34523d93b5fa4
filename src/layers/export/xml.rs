//! Text in XML 1.0.

/// Text for XML in UTF-8: markup escaped, characters that XML cannot hold replaced.
pub(super) fn escape(text: &str) -> String {
    escaped(text, false)
}

/// Text for XML of nothing but ASCII: everything else as numeric references, which receivers read back whole, whatever
/// they take the encoding for and wherever they cut a stream.
pub(crate) fn escape_ascii(text: &str) -> String {
    escaped(text, true)
}

fn escaped(text: &str, ascii: bool) -> String {
    let mut escaped = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '&' => escaped.push_str("&amp;"),
            '<' => escaped.push_str("&lt;"),
            '>' => escaped.push_str("&gt;"),
            '"' => escaped.push_str("&quot;"),
            '\'' => escaped.push_str("&apos;"),
            // A parser would take them for a space in an attribute, or for a newline.
            '\t' | '\n' | '\r' => push_reference(&mut escaped, c),
            '\0'..'\u{20}' | '\u{fffe}' | '\u{ffff}' if ascii => push_reference(&mut escaped, '\u{fffd}'),
            '\0'..'\u{20}' | '\u{fffe}' | '\u{ffff}' => escaped.push('\u{fffd}'),
            _ if ascii && !c.is_ascii() => push_reference(&mut escaped, c),
            _ => escaped.push(c),
        }
    }
    escaped
}

fn push_reference(text: &mut String, c: char) {
    text.push_str(&format!("&#{};", u32::from(c)));
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_that_would_break_xml_is_escaped() {
        assert_eq!(escape("a<b>&\"c'"), "a&lt;b&gt;&amp;&quot;c&apos;");
        assert_eq!(escape("\0\u{1}\u{ffff}\n"), "\u{fffd}\u{fffd}\u{fffd}&#10;");
        assert_eq!(escape("池塘 ]]>"), "池塘 ]]&gt;");
    }

    #[test]
    fn ascii_has_numeric_references_for_all_else() {
        assert_eq!(escape_ascii("Weiher <ü> 池"), "Weiher &lt;&#252;&gt; &#27744;");
        assert_eq!(escape_ascii("\0\t"), "&#65533;&#9;");
    }
}
