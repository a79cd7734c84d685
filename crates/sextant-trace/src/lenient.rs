//! A reader for the JSON dialect of rt-app files.
//!
//! What must hold: members keep their order and duplicates (in a phase the order *is* the program), every node and key
//! knows its line and column, and no input makes it panic or recurse without bound.
//!
//! Accepted beyond JSON: `//`, `/* */` and `#` comments, trailing commas, a bare key (`"suspend",`), single quotes,
//! and plain words as keys or strings. Not accepted: a missing comma, an unterminated string or comment.
//! The public examples need duplicate keys and bare keys together, which no JSON or JSON5 library reads.

use std::fmt;

/// Deepest nesting that is followed; rt-app files need five levels.
const MAX_DEPTH: u32 = 64;

/// A place in a file, both from 1; columns count characters.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub struct Pos {
    /// Line, from 1.
    pub line: u32,
    /// Column in characters, from 1.
    pub column: u32,
}

impl fmt::Display for Pos {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.line, self.column)
    }
}

/// A value and where it starts.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Node {
    /// First character of the value (of the key, if the value is missing).
    pub pos: Pos,
    /// The value.
    pub value: Value,
}

/// A value of the dialect.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Value {
    /// A bare key had no value.
    Missing,
    /// `null`
    Null,
    /// `true`, `false`
    Bool(bool),
    /// A whole number that fits.
    Int(i64),
    /// Any other number, as written.
    Real(String),
    /// A string or a plain word.
    Str(String),
    /// `[…]`
    Array(Vec<Node>),
    /// `{…}`, in order, duplicates kept.
    Object(Vec<Member>),
}

impl Value {
    /// What kind of thing it is, for messages.
    pub fn kind(&self) -> &'static str {
        match self {
            Value::Missing => "nothing",
            Value::Null => "null",
            Value::Bool(_) => "a boolean",
            Value::Int(_) => "a whole number",
            Value::Real(_) => "a number that is not whole or does not fit in 64 bits",
            Value::Str(_) => "a string",
            Value::Array(_) => "an array",
            Value::Object(_) => "an object",
        }
    }
}

/// One `key: value` of an object.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Member {
    /// The key.
    pub key: String,
    /// Where the key starts.
    pub pos: Pos,
    /// Its value.
    pub node: Node,
}

/// Why a text is not of the dialect.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
#[error("{pos}: {what}")]
pub struct SyntaxError {
    /// Where reading stopped.
    pub pos: Pos,
    /// What was expected or found there.
    pub what: String,
}

/// Reads one document.
pub fn parse(text: &str) -> Result<Node, SyntaxError> {
    let mut r = Reader::new(text.strip_prefix('\u{feff}').unwrap_or(text));
    r.blank()?;
    let node = r.value(0)?;
    r.blank()?;
    match r.peek() {
        None => Ok(node),
        Some(c) => r.fail(format!("{} after the end of the document", shown(c))),
    }
}

struct Reader<'a> {
    rest: std::iter::Peekable<std::str::Chars<'a>>,
    pos: Pos,
}

/// A character as a message shows it.
fn shown(c: char) -> String {
    if c.is_control() { format!("character {:#x}", c as u32) } else { format!("`{c}`") }
}

fn starts_word(c: char) -> bool {
    c.is_alphabetic() || c == '_'
}

fn in_word(c: char) -> bool {
    c.is_alphanumeric() || matches!(c, '_' | '-' | '.')
}

impl<'a> Reader<'a> {
    fn new(text: &'a str) -> Reader<'a> {
        Reader { rest: text.chars().peekable(), pos: Pos { line: 1, column: 1 } }
    }

    fn peek(&mut self) -> Option<char> {
        self.rest.peek().copied()
    }

    fn next(&mut self) -> Option<char> {
        let c = self.rest.next()?;
        if c == '\n' {
            self.pos.line = self.pos.line.saturating_add(1);
            self.pos.column = 1;
        } else {
            self.pos.column = self.pos.column.saturating_add(1);
        }
        Some(c)
    }

    fn fail<T>(&self, what: impl Into<String>) -> Result<T, SyntaxError> {
        Err(SyntaxError { pos: self.pos, what: what.into() })
    }

    fn found(&mut self) -> String {
        self.peek().map_or("the end of the file".to_string(), shown)
    }

    /// Skips white space and comments.
    fn blank(&mut self) -> Result<(), SyntaxError> {
        while let Some(c) = self.peek() {
            match c {
                _ if c.is_whitespace() => drop(self.next()),
                '#' => self.line_comment(),
                '/' => self.slash_comment()?,
                _ => break,
            }
        }
        Ok(())
    }

    fn line_comment(&mut self) {
        while self.next().is_some_and(|c| c != '\n') {}
    }

    fn slash_comment(&mut self) -> Result<(), SyntaxError> {
        let start = self.pos;
        self.next();
        match self.peek() {
            Some('/') => self.line_comment(),
            Some('*') => {
                self.next();
                let mut star = false;
                loop {
                    match self.next() {
                        Some('/') if star => break,
                        Some(c) => star = c == '*',
                        None => {
                            return Err(SyntaxError {
                                pos: start,
                                what: "comment without its end `*/`".into(),
                            });
                        }
                    }
                }
            }
            _ => return Err(SyntaxError { pos: start, what: "`/` that starts no comment".into() }),
        }
        Ok(())
    }

    fn value(&mut self, depth: u32) -> Result<Node, SyntaxError> {
        if depth > MAX_DEPTH {
            return self.fail(format!("nested more than {MAX_DEPTH} levels deep"));
        }
        let pos = self.pos;
        let value = match self.peek() {
            Some('{') => self.object(depth)?,
            Some('[') => self.array(depth)?,
            Some(q @ ('"' | '\'')) => Value::Str(self.quoted(q)?),
            Some(c) if c == '-' || c == '+' || c.is_ascii_digit() => self.number()?,
            Some(c) if starts_word(c) => match self.word() {
                w if w.eq_ignore_ascii_case("true") => Value::Bool(true),
                w if w.eq_ignore_ascii_case("false") => Value::Bool(false),
                w if w == "null" => Value::Null,
                w => Value::Str(w),
            },
            _ => {
                let found = self.found();
                return self.fail(format!("expected a value, found {found}"));
            }
        };
        Ok(Node { pos, value })
    }

    fn word(&mut self) -> String {
        let mut w = String::new();
        while let Some(c) = self.peek().filter(|&c| in_word(c)) {
            w.push(c);
            self.next();
        }
        w
    }

    fn number(&mut self) -> Result<Value, SyntaxError> {
        let start = self.pos;
        let mut raw = String::new();
        while let Some(c) = self.peek().filter(|&c| in_word(c) || c == '+') {
            raw.push(c);
            self.next();
        }
        if let Ok(n) = raw.parse::<i64>() {
            return Ok(Value::Int(n));
        }
        match raw.parse::<f64>() {
            Ok(_) => Ok(Value::Real(raw)),
            Err(_) => Err(SyntaxError { pos: start, what: format!("`{raw}` is not a number") }),
        }
    }

    fn quoted(&mut self, quote: char) -> Result<String, SyntaxError> {
        let start = self.pos;
        let unterminated =
            || SyntaxError { pos: start, what: format!("string without its closing `{quote}` on this line") };
        self.next();
        let mut s = String::new();
        loop {
            match self.next() {
                None | Some('\n') => return Err(unterminated()),
                Some(c) if c == quote => return Ok(s),
                Some('\\') => s.push(self.escape()?),
                Some(c) => s.push(c),
            }
        }
    }

    fn escape(&mut self) -> Result<char, SyntaxError> {
        let pos = self.pos;
        let bad = |what: String| Err(SyntaxError { pos, what });
        Ok(match self.next() {
            Some('n') => '\n',
            Some('t') => '\t',
            Some('r') => '\r',
            Some('b') => '\u{8}',
            Some('f') => '\u{c}',
            Some(c @ ('"' | '\'' | '\\' | '/')) => c,
            Some('u') => {
                let mut n = 0;
                for _ in 0..4 {
                    match self.next().and_then(|c| c.to_digit(16)) {
                        Some(d) => n = n * 16 + d,
                        None => return bad("`\\u` wants four hexadecimal digits".into()),
                    }
                }
                // A half of a surrogate pair: no rt-app file has one in a name.
                char::from_u32(n).unwrap_or('\u{fffd}')
            }
            Some(c) => return bad(format!("unknown escape `\\{}`", c.escape_default())),
            None => return bad("the file ends inside a string".into()),
        })
    }

    fn array(&mut self, depth: u32) -> Result<Value, SyntaxError> {
        let open = self.pos;
        self.next();
        let mut items = Vec::new();
        loop {
            self.blank()?;
            if self.peek() == Some(']') {
                self.next();
                return Ok(Value::Array(items));
            }
            items.push(self.value(depth + 1)?);
            self.separator(']', open)?;
        }
    }

    fn object(&mut self, depth: u32) -> Result<Value, SyntaxError> {
        let open = self.pos;
        self.next();
        let mut members = Vec::new();
        loop {
            self.blank()?;
            if self.peek() == Some('}') {
                self.next();
                return Ok(Value::Object(members));
            }
            members.push(self.member(depth, open)?);
            self.separator('}', open)?;
        }
    }

    fn member(&mut self, depth: u32, open: Pos) -> Result<Member, SyntaxError> {
        let pos = self.pos;
        let key = match self.peek() {
            Some(q @ ('"' | '\'')) => self.quoted(q)?,
            Some(c) if starts_word(c) => self.word(),
            None => return self.fail(format!("the file ends inside the object opened at {open}")),
            Some(c) => return self.fail(format!("expected a key or `}}`, found {}", shown(c))),
        };
        self.blank()?;
        let node = match self.peek() {
            Some(':') => {
                self.next();
                self.blank()?;
                self.value(depth + 1)?
            }
            Some(',' | '}') => Node { pos, value: Value::Missing },
            _ => {
                let found = self.found();
                return self.fail(format!("expected `:` after the key \"{key}\", found {found}"));
            }
        };
        Ok(Member { key, pos, node })
    }

    /// After an item: a comma, or the closing character (left in place).
    fn separator(&mut self, close: char, open: Pos) -> Result<(), SyntaxError> {
        self.blank()?;
        match self.peek() {
            Some(',') => drop(self.next()),
            Some(c) if c == close => {}
            None => {
                return self.fail(format!("the file ends before the `{close}` of what was opened at {open}"));
            }
            Some(c) => return self.fail(format!("expected `,` or `{close}`, found {}", shown(c))),
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn members(text: &str) -> Vec<(String, Value, String)> {
        match parse(text).unwrap().value {
            Value::Object(m) => m.into_iter().map(|m| (m.key, m.node.value, m.pos.to_string())).collect(),
            v => panic!("not an object: {v:?}"),
        }
    }

    #[test]
    fn order_duplicates_and_bare_keys_survive() {
        let got =
            members("{\n \"run\": 1, \"suspend\",\n \"run\" : 2, /* } */ suspend, # c\n 'x': word, // e\n}");
        let want = [
            ("run", Value::Int(1), "2:2"),
            ("suspend", Value::Missing, "2:12"),
            ("run", Value::Int(2), "3:2"),
            ("suspend", Value::Missing, "3:21"),
            ("x", Value::Str("word".into()), "4:2"),
        ];
        assert_eq!(got, want.map(|(k, v, p)| (k.to_string(), v, p.to_string())));
    }

    #[test]
    fn scalars() {
        let got = parse(r#"[-1, true, False, null, 1.5, 99999999999999999999, "a\"\u0041\n", [],]"#).unwrap();
        let Value::Array(items) = got.value else { panic!() };
        let got: Vec<Value> = items.into_iter().map(|n| n.value).collect();
        let want = vec![
            Value::Int(-1),
            Value::Bool(true),
            Value::Bool(false),
            Value::Null,
            Value::Real("1.5".into()),
            Value::Real("99999999999999999999".into()),
            Value::Str("a\"A\n".into()),
            Value::Array(vec![]),
        ];
        assert_eq!(got, want);
    }

    #[test]
    fn errors_say_where() {
        for (text, want) in [
            ("", "1:1: expected a value, found the end of the file"),
            ("{\"a\": 1 \"b\": 2}", "1:9: expected `,` or `}`, found `\"`"),
            ("{\"a\"", "1:5: expected `:` after the key \"a\", found the end of the file"),
            ("{\"a\": \"x\n\"}", "1:7: string without its closing `\"` on this line"),
            ("[1, 2", "1:6: the file ends before the `]` of what was opened at 1:1"),
            ("{ /* x", "1:3: comment without its end `*/`"),
            ("{} {}", "1:4: `{` after the end of the document"),
            ("{a: 12q}", "1:5: `12q` is not a number"),
            ("{a: /}", "1:5: `/` that starts no comment"),
            ("{,}", "1:2: expected a key or `}`, found `,`"),
            ("[\"\\q\"]", "1:4: unknown escape `\\q`"),
            ("\u{0}", "1:1: expected a value, found character 0x0"),
        ] {
            assert_eq!(parse(text).unwrap_err().to_string(), want, "{text:?}");
        }
    }

    #[test]
    fn deep_nesting_is_refused() {
        let e = parse(&"[".repeat(1 << 20)).unwrap_err();
        assert!(e.what.contains("64 levels"), "{e}");
        assert!(parse(&"{a:".repeat(1 << 20)).is_err());
    }

    /// Every prefix and every one-byte change of a real-looking file reads or fails, but never panics.
    #[test]
    fn mutations_do_not_panic() {
        let text = "{\"tasks\": {\"t\": {\"run\": 10, \"timer\": {\"ref\": \"u\", \"period\": 1e3}, 'suspend',}}, /*c*/ g: [1,-2]} # é";
        for (i, _) in text.char_indices() {
            let _ = parse(&text[..i]);
            for c in ['\0', '"', '{', '}', '[', ':', ',', '\\', '/', '*', '9', 'é', '\u{feff}'] {
                let _ = parse(&format!("{}{c}{}", &text[..i], text[i..].chars().skip(1).collect::<String>()));
            }
        }
    }
}
