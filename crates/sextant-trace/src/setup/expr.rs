//! The arithmetic of setup files: whole numbers, words for the machine's shape (`@cpus`, `@llc(3)`, …), indices (`@i`, `@j`), what an
//! earlier step has saved (`$name`), `+ - * / %` and parentheses.

use sextant_sched::topology::Shape;

/// What words stand for.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Names {
    /// The machine.
    pub machine: Shape,
    /// `@cpus`
    pub nr_cpus: u32,
    /// `@i`: an element's index in `each`, the turn in `for`, the CPU in `per_cpu`.
    pub i: Option<u64>,
    /// `@j`: the other CPU of a pair.
    pub j: Option<u64>,
}

/// What `$name` stands for, when a step runs; `None`: it has not been saved.
pub type Saved<'a> = &'a dyn Fn(&str) -> Option<u64>;

/// The value of `text`, or what is wrong with it. Without `saved` a `$name` counts as 0: so a file is checked before anything runs.
pub fn eval(text: &str, names: Names, saved: Option<Saved<'_>>) -> Result<i128, String> {
    let mut at = Reader { rest: text.trim(), names, saved, depth: 0 };
    let value = at.sum()?;
    if !at.rest.is_empty() {
        return Err(format!("\"{text}\": \"{}\" is not expected there", at.rest));
    }
    if !(i128::from(i64::MIN)..=i128::from(u64::MAX)).contains(&value) {
        return Err("the value is too large".into());
    }
    Ok(value)
}

struct Reader<'a> {
    rest: &'a str,
    names: Names,
    saved: Option<Saved<'a>>,
    depth: u32,
}

impl Reader<'_> {
    fn take(&mut self, c: char) -> bool {
        let taken = self.rest.strip_prefix(c).map(str::trim_start);
        self.rest = taken.unwrap_or(self.rest);
        taken.is_some()
    }

    fn sum(&mut self) -> Result<i128, String> {
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

    fn product(&mut self) -> Result<i128, String> {
        let mut value = self.factor()?;
        loop {
            let result = if self.take('*') {
                value.checked_mul(self.factor()?).ok_or("the value is too large")
            } else if self.take('/') {
                value.checked_div(self.divisor()?).ok_or("a division by 0")
            } else if self.take('%') {
                value.checked_rem(self.divisor()?).ok_or("a division by 0")
            } else {
                return Ok(value);
            };
            value = result?;
        }
    }

    /// What is not known yet divides by 1.
    fn divisor(&mut self) -> Result<i128, String> {
        let unknown = self.saved.is_none() && self.rest.starts_with('$');
        let value = self.factor()?;
        Ok(if unknown { 1 } else { value })
    }

    fn factor(&mut self) -> Result<i128, String> {
        if self.take('-') {
            return self.nested(|at| at.factor())?.checked_neg().ok_or("the value is too large".into());
        }
        if self.take('(') {
            let value = self.nested(|at| at.sum())?;
            return if self.take(')') { Ok(value) } else { Err("a ) is missing".into()) };
        }
        let end = self.rest.find(|c: char| !c.is_ascii_alphanumeric() && !"@$_".contains(c));
        let (word, rest) = self.rest.split_at(end.unwrap_or(self.rest.len()));
        self.rest = rest.trim_start();
        if let Some(name) = word.strip_prefix('$') {
            return self.saved(name);
        }
        if word.starts_with('@') && self.take('(') {
            return self.call(word);
        }
        self.word(word)
    }

    fn nested(&mut self, f: impl FnOnce(&mut Self) -> Result<i128, String>) -> Result<i128, String> {
        self.depth += 1;
        if self.depth > 64 {
            return Err("too many parentheses".into());
        }
        let value = f(self)?;
        self.depth -= 1;
        Ok(value)
    }

    /// `$name`, or `$sizeof(type)`.
    fn saved(&mut self, name: &str) -> Result<i128, String> {
        let mut name = name.to_owned();
        if name == "sizeof" && self.take('(') {
            let (ty, rest) = self.rest.split_once(')').ok_or("a ) is missing")?;
            name = format!("sizeof({})", ty.trim());
            self.rest = rest.trim_start();
        }
        match self.saved {
            None => Ok(0),
            Some(saved) => match saved(&name) {
                Some(value) => Ok(value.into()),
                None if name.starts_with("sizeof(") => Err(format!("${name}: the object has no such type")),
                None => Err(format!("${name}: no step before this one has saved it")),
            },
        }
    }

    /// `@llc(3)`: a word about a CPU, cache or node.
    fn call(&mut self, word: &str) -> Result<i128, String> {
        let first = self.nested(|at| at.sum())?;
        let second = if self.take(',') { Some(self.nested(|at| at.sum())?) } else { None };
        if !self.take(')') {
            return Err("a ) is missing".into());
        }
        let shape = self.names.machine;
        let index = |n: i128, below: u32, what: &str| match u32::try_from(n) {
            Ok(n) if n < below => Ok(n),
            _ => Err(format!("{word}({n}): this machine has {below} {what}")),
        };
        let cpu = || index(first, self.names.nr_cpus, "CPUs");
        let (per_core, per_llc, per_node) =
            (shape.threads, shape.threads * shape.cores, shape.threads * shape.cores * shape.llcs);
        let mask = |from: u32, count: u32| self.mask(word, from, count, second);
        let value = match (word, second) {
            ("@core", None) => cpu()? / per_core,
            ("@llc", None) => cpu()? / per_llc,
            ("@node", None) => cpu()? / per_node,
            ("@sibling", None) => {
                let cpu = cpu()?;
                // The next thread of its core, after the last the first; -1 in a core of one.
                let thread = (cpu % per_core + 1) % per_core;
                return Ok(if per_core == 1 { -1 } else { i128::from(cpu - cpu % per_core + thread) });
            }
            ("@siblings", _) => return mask(cpu()? / per_core * per_core, per_core),
            ("@core_cpus", _) => return mask(index(first, self.cores(), "cores")? * per_core, per_core),
            ("@llc_cpus", _) => return mask(index(first, self.llcs(), "caches")? * per_llc, per_llc),
            ("@node_cpus", _) => return mask(index(first, shape.nodes, "nodes")? * per_node, per_node),
            ("@cpu_mask", _) => return mask(cpu()?, 1),
            ("@all_cpus", None) => return self.mask(word, 0, self.names.nr_cpus, Some(first)),
            _ => return Err(format!("\"{word}(…)\" is no word with these arguments; {KNOWN}")),
        };
        Ok(value.into())
    }

    /// 64 CPUs of a mask: those of word `at`, of the only one where it is not said.
    fn mask(&self, word: &str, from: u32, count: u32, at: Option<i128>) -> Result<i128, String> {
        let words = self.names.nr_cpus.div_ceil(64);
        let at = match at {
            None if words > 1 => {
                return Err(format!(
                    "{word}: a mask of this machine has {words} words: say which, {word}(…, 0)"
                ));
            }
            None => 0,
            Some(at) => u32::try_from(at).map_err(|_| format!("{word}: a mask has no word {at}"))?,
        };
        let cpus = (0..64).filter(|bit| (from..from + count).contains(&(at.saturating_mul(64) + bit)));
        Ok(cpus.map(|bit| 1i128 << bit).sum())
    }

    fn llcs(&self) -> u32 {
        self.names.machine.nodes * self.names.machine.llcs
    }

    fn cores(&self) -> u32 {
        self.llcs() * self.names.machine.cores
    }

    fn word(&self, word: &str) -> Result<i128, String> {
        let index = |index: Option<u64>, what: &str| match index {
            Some(index) => Ok(index.into()),
            None => Err(format!("{word} is {what}")),
        };
        match word {
            "@cpus" => Ok(self.names.nr_cpus.into()),
            "@cores" => Ok(self.cores().into()),
            "@llcs" => Ok(self.llcs().into()),
            "@nodes" => Ok(self.names.machine.nodes.into()),
            "@threads" => Ok(self.names.machine.threads.into()),
            "@all_cpus" => self.mask(word, 0, self.names.nr_cpus, None),
            "@i" => index(
                self.names.i,
                "the index of an element: it has a meaning only in `each`, `for` and `per_cpu`",
            ),
            "@j" => {
                index(self.names.j, "the other CPU of a pair: it has a meaning only with a `for` of pairs")
            }
            "" => Err("a number, @cpus or @i is expected".into()),
            _ => {
                let digits = word.replace('_', "");
                let hex = digits.strip_prefix("0x").map(|digits| i128::from_str_radix(digits, 16));
                hex.unwrap_or_else(|| digits.parse()).map_err(|_| {
                    format!("\"{word}\" is no number: arithmetic knows numbers and words; {KNOWN}")
                })
            }
        }
    }
}

/// All words, for messages.
const KNOWN: &str = "words are @cpus @cores @llcs @nodes @threads @i @j @core(cpu) @llc(cpu) @node(cpu) @sibling(cpu) and masks \
    @all_cpus @siblings(cpu) @core_cpus(core) @llc_cpus(llc) @node_cpus(node) @cpu_mask(cpu)";
