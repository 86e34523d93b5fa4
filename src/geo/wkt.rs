//! Well-known text of a CRS as a tree: `KEYWORD["text", 1.5, WORD, KEYWORD[...]]`, both of the older kind
//! (OGC 01-009) and of the newer one (ISO 19162). What the keywords mean lives in `wkt_crs`.
//!
//! The text comes from a file of unknown origin: its size and depth are bounded before anything is built.

/// Longest text that is read. GDAL's longest WKT of a compound CRS has some 10 KB.
pub(super) const MAX_BYTES: usize = 64 * 1024;
/// Deepest nesting that is read; real texts stay below 10.
const MAX_DEPTH: usize = 24;

/// A keyword with what stands in its brackets.
#[derive(Debug, PartialEq)]
pub(super) struct Node<'a> {
    keyword: &'a str,
    items: Vec<Item<'a>>,
}

#[derive(Debug, PartialEq)]
enum Item<'a> {
    /// Quoted text; a quote in it still stands doubled.
    Text(&'a str),
    Number(f64),
    /// A bare word, as an axis direction.
    Word(&'a str),
    Node(Node<'a>),
}

impl<'a> Node<'a> {
    /// Reads a whole text.
    pub(super) fn parse(text: &'a str) -> Result<Self, String> {
        if text.len() > MAX_BYTES {
            return Err(format!("its WKT is longer than {MAX_BYTES} bytes"));
        }
        let mut reader = Reader { text, at: 0 };
        let node = match reader.item(0)? {
            Item::Node(node) => node,
            _ => return Err("it does not begin with a keyword and a bracket".to_owned()),
        };
        reader.skip_space();
        match reader.at == text.len() {
            true => Ok(node),
            false => Err(format!("something follows the WKT at byte {}", reader.at)),
        }
    }

    /// Whether the keyword is one of these; keywords are written in either case.
    pub(super) fn is(&self, keywords: &[&str]) -> bool {
        keywords.iter().any(|keyword| self.keyword.eq_ignore_ascii_case(keyword))
    }

    pub(super) fn keyword(&self) -> &'a str {
        self.keyword
    }

    pub(super) fn children(&self) -> impl Iterator<Item = &Self> {
        self.items.iter().filter_map(|item| match item {
            Item::Node(node) => Some(node),
            _ => None,
        })
    }

    /// The first child with one of these keywords.
    pub(super) fn child(&self, keywords: &[&str]) -> Option<&Self> {
        self.children().find(|child| child.is(keywords))
    }

    /// The first quoted text: the name of most things.
    pub(super) fn name(&self) -> &'a str {
        self.texts().next().unwrap_or_default()
    }

    pub(super) fn texts(&self) -> impl Iterator<Item = &'a str> {
        self.items.iter().filter_map(|item| match item {
            Item::Text(text) => Some(*text),
            _ => None,
        })
    }

    pub(super) fn numbers(&self) -> impl Iterator<Item = f64> {
        self.items.iter().filter_map(|item| match item {
            Item::Number(number) => Some(*number),
            _ => None,
        })
    }

    pub(super) fn words(&self) -> impl Iterator<Item = &'a str> {
        self.items.iter().filter_map(|item| match item {
            Item::Word(word) => Some(*word),
            _ => None,
        })
    }

    /// Authority and code that stand directly in this node, never those of a part of it: a `PROJCS` without its
    /// own code still holds those of its datum and units.
    pub(super) fn id(&self) -> Option<(&'a str, u32)> {
        self.children().filter(|child| child.is(&["ID", "AUTHORITY"])).find_map(|id| {
            let mut texts = id.texts();
            let authority = texts.next()?;
            let quoted = texts.next().and_then(|code| code.parse().ok());
            Some((authority, quoted.or_else(|| whole(id.numbers().next()?))?))
        })
    }
}

/// A number as a code, where it is a whole one.
pub(super) fn whole(number: f64) -> Option<u32> {
    (number.fract() == 0.0 && (0.0..=f64::from(u32::MAX)).contains(&number)).then_some(number as u32)
}

struct Reader<'a> {
    text: &'a str,
    at: usize,
}

impl<'a> Reader<'a> {
    fn peek(&self) -> Option<u8> {
        self.text.as_bytes().get(self.at).copied()
    }

    fn skip_space(&mut self) {
        while self.peek().is_some_and(|byte| byte.is_ascii_whitespace()) {
            self.at += 1;
        }
    }

    fn item(&mut self, depth: usize) -> Result<Item<'a>, String> {
        self.skip_space();
        match self.peek() {
            Some(b'"') => self.quoted(),
            Some(byte) if byte.is_ascii_digit() || b"+-.".contains(&byte) => self.number(),
            Some(byte) if byte.is_ascii_alphabetic() => self.word_or_node(depth),
            Some(_) => Err(format!("its WKT is broken at byte {}", self.at)),
            None => Err("its WKT is cut off".to_owned()),
        }
    }

    fn quoted(&mut self) -> Result<Item<'a>, String> {
        let start = self.at + 1;
        let mut end = start;
        loop {
            match self.text.as_bytes().get(end..) {
                Some([b'"', b'"', ..]) => end += 2,
                Some([b'"', ..]) => break,
                Some([_, ..]) => end += 1,
                _ => return Err(format!("the quote at byte {} is not closed", self.at)),
            }
        }
        self.at = end + 1;
        Ok(Item::Text(&self.text[start..end]))
    }

    /// The bytes that satisfy the test, from here on; they are ASCII, so this cuts between characters.
    fn take(&mut self, test: impl Fn(u8) -> bool) -> &'a str {
        let start = self.at;
        while self.peek().is_some_and(&test) {
            self.at += 1;
        }
        &self.text[start..self.at]
    }

    fn number(&mut self) -> Result<Item<'a>, String> {
        let start = self.at;
        let text = self.take(|byte| byte.is_ascii_alphanumeric() || b"+-.:".contains(&byte));
        match text.parse::<f64>() {
            Ok(number) if number.is_finite() => Ok(Item::Number(number)),
            // Dates of WKT 2 begin with a digit, too.
            _ if text.starts_with(|c: char| c.is_ascii_digit()) => Ok(Item::Word(text)),
            _ => Err(format!("\"{text}\" at byte {start} is not a number")),
        }
    }

    fn word_or_node(&mut self, depth: usize) -> Result<Item<'a>, String> {
        let keyword = self.take(|byte| byte.is_ascii_alphanumeric() || byte == b'_');
        self.skip_space();
        let close = match self.peek() {
            Some(b'[') => b']',
            Some(b'(') => b')',
            _ => return Ok(Item::Word(keyword)),
        };
        if depth >= MAX_DEPTH {
            return Err(format!("its WKT is nested deeper than {MAX_DEPTH} levels"));
        }
        self.at += 1;
        let mut items = Vec::new();
        self.skip_space();
        if self.peek() == Some(close) {
            self.at += 1;
            return Ok(Item::Node(Node { keyword, items }));
        }
        loop {
            items.push(self.item(depth + 1)?);
            self.skip_space();
            match self.peek() {
                Some(b',') => self.at += 1,
                Some(byte) if byte == close => break,
                Some(_) => return Err(format!("its WKT is broken at byte {}", self.at)),
                None => return Err(format!("the bracket of {keyword} is not closed")),
            }
        }
        self.at += 1;
        Ok(Item::Node(Node { keyword, items }))
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn both_kinds_of_brackets_and_doubled_quotes_are_read() {
        let node =
            Node::parse(r#" datum("a ""b"" c", Spheroid[ "s" , 6378137,298.257222101e0 ],NORTH) "#).unwrap();
        assert!(node.is(&["DATUM"]));
        assert_eq!(node.name(), r#"a ""b"" c"#);
        let spheroid = node.child(&["ELLIPSOID", "SPHEROID"]).unwrap();
        assert_eq!(spheroid.numbers().collect::<Vec<_>>(), [6_378_137.0, 298.257_222_101]);
        assert_eq!(node.words().collect::<Vec<_>>(), ["NORTH"]);
    }

    #[test]
    fn only_the_outermost_code_counts() {
        let text = r#"PROJCS["x",GEOGCS["WGS 84",AUTHORITY["EPSG","4326"]],AUTHORITY["EPSG","32650"]]"#;
        assert_eq!(Node::parse(text).unwrap().id(), Some(("EPSG", 32650)));
        let text = r#"PROJCRS["x",BASEGEOGCRS["WGS 84",ID["EPSG",4326]]]"#;
        assert_eq!(Node::parse(text).unwrap().id(), None);
    }

    #[test]
    fn broken_texts_are_told_apart() {
        for (text, problem) in [
            ("", "cut off"),
            ("PROJCS", "does not begin"),
            ("PROJCS[\"a", "not closed"),
            ("PROJCS[\"a\"", "bracket of PROJCS"),
            ("PROJCS[\"a\")", "broken at byte 10"),
            ("PROJCS[\"a\"] x", "follows"),
            ("PROJCS[-]", "not a number"),
            ("PROJCS[1e999]", ""),
        ] {
            let result = Node::parse(text);
            match result {
                Err(message) => assert!(message.contains(problem), "{text}: {message}"),
                Ok(node) => assert_eq!(problem, "", "{text}: {node:?}"),
            }
        }
    }

    #[test]
    fn depth_and_size_are_bounded() {
        let deep = "A[".repeat(100_000);
        assert!(Node::parse(&deep).unwrap_err().contains("longer"));
        let deep = "A[".repeat(1000);
        assert!(Node::parse(&deep).unwrap_err().contains("deeper"));
    }

    proptest! {
        #[test]
        fn any_text_is_read_or_refused(text in "\\PC*") {
            let _ = Node::parse(&text);
        }

        #[test]
        fn any_brackets_are_read_or_refused(text in r#"[A-C\[\]()",0-9.eé -]{0,200}"#) {
            let _ = Node::parse(&text);
        }
    }
}
