//! The arithmetic of setup files: integers, `@cpus`, `@i` (an element's index), `+ - * / %` and parentheses.

/// What names stand for.
#[derive(Clone, Copy, Debug)]
pub struct Names {
    /// `@cpus`
    pub nr_cpus: u32,
    /// `@i`, in `each`.
    pub index: Option<u64>,
}

/// The value of `text`, or what is wrong with it.
pub fn eval(text: &str, names: Names) -> Result<i64, String> {
    let mut at = Reader { rest: text.trim(), names, depth: 0 };
    let value = at.sum()?;
    if !at.rest.is_empty() {
        return Err(format!("\"{text}\": \"{}\" is not expected there", at.rest));
    }
    Ok(value)
}

struct Reader<'a> {
    rest: &'a str,
    names: Names,
    depth: u32,
}

impl Reader<'_> {
    fn take(&mut self, c: char) -> bool {
        let taken = self.rest.strip_prefix(c).map(str::trim_start);
        self.rest = taken.unwrap_or(self.rest);
        taken.is_some()
    }

    fn sum(&mut self) -> Result<i64, String> {
        let mut value = self.product()?;
        loop {
            let result = if self.take('+') {
                value.checked_add(self.product()?)
            } else if self.take('-') {
                value.checked_sub(self.product()?)
            } else {
                return Ok(value);
            };
            value = result.ok_or("the value is too large")?;
        }
    }

    fn product(&mut self) -> Result<i64, String> {
        let mut value = self.factor()?;
        loop {
            let result = if self.take('*') {
                value.checked_mul(self.factor()?).ok_or("the value is too large")
            } else if self.take('/') {
                value.checked_div(self.factor()?).ok_or("a division by 0")
            } else if self.take('%') {
                value.checked_rem(self.factor()?).ok_or("a division by 0")
            } else {
                return Ok(value);
            };
            value = result?;
        }
    }

    fn factor(&mut self) -> Result<i64, String> {
        if self.take('-') {
            return self.nested(|at| at.factor())?.checked_neg().ok_or("the value is too large".into());
        }
        if self.take('(') {
            let value = self.nested(|at| at.sum())?;
            return if self.take(')') { Ok(value) } else { Err("a ) is missing".into()) };
        }
        let end = self.rest.find(|c: char| !c.is_ascii_alphanumeric() && c != '@' && c != '_');
        let (word, rest) = self.rest.split_at(end.unwrap_or(self.rest.len()));
        self.rest = rest.trim_start();
        self.word(word)
    }

    fn nested(&mut self, f: impl FnOnce(&mut Self) -> Result<i64, String>) -> Result<i64, String> {
        self.depth += 1;
        if self.depth > 64 {
            return Err("too many parentheses".into());
        }
        let value = f(self)?;
        self.depth -= 1;
        Ok(value)
    }

    fn word(&self, word: &str) -> Result<i64, String> {
        match (word, self.names.index) {
            ("@cpus", _) => Ok(self.names.nr_cpus.into()),
            ("@i", Some(index)) => i64::try_from(index).map_err(|_| "the value is too large".into()),
            ("@i", None) => Err("@i is the index of an element: it has a meaning only in `each`".into()),
            ("", _) => Err("a number, @cpus or @i is expected".into()),
            _ => {
                let digits = word.replace('_', "");
                let hex = digits.strip_prefix("0x").map(|digits| i64::from_str_radix(digits, 16));
                hex.unwrap_or_else(|| digits.parse())
                    .map_err(|_| format!("\"{word}\" is no number: arithmetic knows numbers, @cpus and @i"))
            }
        }
    }
}
