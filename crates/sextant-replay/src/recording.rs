//! The format of the recordings: header lines `# …`, then one event a line, `t,cpu,cur,event[,key=value]…`.

use std::fmt;
use std::io::Read;

use sextant_abi::DsqId;
use sextant_sched::ext::replay::DsqName;

/// What is wrong with a file.
#[derive(Debug, thiserror::Error)]
pub enum RecordingError {
    /// Not a zstd frame, or a damaged one.
    #[error("cannot decompress: {0}; is it a .csv.zst of the kernel-traces?")]
    Zstd(String),
    /// Not text.
    #[error("not UTF-8 text after byte {0}")]
    Utf8(usize),
    /// A line that is no event.
    #[error("line {line}: {what} in {text:?}; expected t,cpu,cur,event[,key=value]...")]
    Line {
        /// From 1.
        line: usize,
        /// What.
        what: &'static str,
        /// The line.
        text: String,
    },
    /// The first header line is missing or says nothing about CPUs and scheduler.
    #[error("no header `# kernel ... cpus N sched NAME opt OPT ...`: is it a converted recording?")]
    Header,
}

/// One line.
#[derive(Clone, Debug)]
pub struct Event {
    /// Line number in the file, from 1.
    pub line: usize,
    /// ns since en_begin.
    pub t: i64,
    /// Executing CPU.
    pub cpu: u32,
    /// pid of the executing task.
    pub cur: i32,
    /// Event name.
    pub name: String,
    /// Keys and values in the file's order.
    pub args: Vec<(String, String)>,
}

impl Event {
    /// The value of a key.
    pub fn get(&self, key: &str) -> Option<&str> {
        self.args.iter().find(|(k, _)| k == key).map(|(_, v)| v.as_str())
    }

    /// The value of a key as a number; 0 if it is missing or none.
    pub fn num(&self, key: &str) -> u64 {
        self.get(key).and_then(number).unwrap_or(0)
    }

    /// The same for keys that can be negative.
    pub fn int(&self, key: &str) -> i64 {
        self.num(key) as i64
    }

    /// The subject task.
    pub fn pid(&self) -> Option<i32> {
        self.get("pid").and_then(number).map(|v| v as i32)
    }

    /// Whether a key is 1 (or Y).
    pub fn is(&self, key: &str) -> bool {
        matches!(self.get(key), Some("1" | "Y"))
    }

    /// The DSQ that a key names, as `GLOBAL`, `LOCAL@cpu`, `BYPASS@cpu` or `0xID`.
    pub fn dsq(&self, key: &str) -> Option<DsqName> {
        dsq_name(self.get(key)?)
    }

    /// The DSQ id that a key has, as passed: `LOCAL`, `GLOBAL`, `LOCAL_ON@cpu`, `INVALID`, `0xID`.
    pub fn dsq_id(&self, key: &str) -> DsqId {
        self.get(key).and_then(dsq_id).unwrap_or(DsqId::INVALID)
    }
}

impl fmt::Display for Event {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:>6}: t={} cpu{} {}", self.line, self.t, self.cpu, self.name)?;
        for (k, v) in &self.args {
            write!(f, " {k}={v}")?;
        }
        Ok(())
    }
}

/// Decimal, negative decimal (two's complement) or 0x hex.
pub fn number(v: &str) -> Option<u64> {
    if let Some(hex) = v.strip_prefix("0x") {
        return u64::from_str_radix(hex, 16).ok();
    }
    if v.starts_with('-') {
        return v.parse::<i64>().ok().map(|v| v as u64);
    }
    v.parse().ok()
}

fn dsq_name(v: &str) -> Option<DsqName> {
    let cpu = |rest: &str| number(rest).map(|c| sextant_abi::CpuId(c as u32));
    if v == "GLOBAL" {
        Some(DsqName::Global)
    } else if let Some(rest) = v.strip_prefix("LOCAL@") {
        cpu(rest).map(DsqName::Local)
    } else if let Some(rest) = v.strip_prefix("BYPASS@") {
        cpu(rest).map(DsqName::Bypass)
    } else {
        number(v).map(DsqName::User)
    }
}

fn dsq_id(v: &str) -> Option<DsqId> {
    Some(match v {
        "LOCAL" => DsqId::LOCAL,
        "GLOBAL" => DsqId::GLOBAL,
        "BYPASS" => DsqId::BYPASS,
        "INVALID" => DsqId::INVALID,
        _ => match v.strip_prefix("LOCAL_ON@") {
            Some(cpu) => DsqId(DsqId::LOCAL_ON.0 | number(cpu)?),
            None => DsqId(number(v)?),
        },
    })
}

/// A whole recording.
#[derive(Clone, Debug)]
pub struct Recording {
    /// CPUs of the machine.
    pub cpus: u32,
    /// The scheduler's name in the header.
    pub sched: String,
    /// Its option, `none` or a letter.
    pub opt: String,
    /// Ids of its cgroups below the root, ascending.
    pub cgroups: Vec<u64>,
    /// What `now` is behind `t`, ns; 0 where the header does not say.
    pub clock_lag: i64,
    /// Events in file order, a legal sequential order.
    pub events: Vec<Event>,
}

impl Recording {
    /// Reads a `.csv.zst` file's bytes.
    pub fn from_zstd(bytes: &[u8]) -> Result<Recording, RecordingError> {
        let zstd = |e: String| RecordingError::Zstd(e);
        let mut decoder = ruzstd::decoding::StreamingDecoder::new(bytes).map_err(|e| zstd(e.to_string()))?;
        let mut text = Vec::new();
        decoder.read_to_end(&mut text).map_err(|e| zstd(e.to_string()))?;
        let text = String::from_utf8(text).map_err(|e| RecordingError::Utf8(e.utf8_error().valid_up_to()))?;
        Self::from_csv(&text)
    }

    /// Reads the text.
    pub fn from_csv(text: &str) -> Result<Recording, RecordingError> {
        let mut rec = Recording {
            cpus: 0,
            sched: String::new(),
            opt: String::new(),
            cgroups: Vec::new(),
            clock_lag: 0,
            events: Vec::new(),
        };
        for (i, line) in text.lines().enumerate() {
            match line.strip_prefix("# ") {
                Some(header) => rec.header(header),
                None if line.is_empty() => {}
                None => rec.events.push(event(i + 1, line)?),
            }
        }
        // The emulated machine has at most so many; a recording of more would not be one of these.
        if !(1..=1024).contains(&rec.cpus) || rec.sched.is_empty() {
            return Err(RecordingError::Header);
        }
        if let Some(e) = rec.events.iter().find(|e| e.cpu >= rec.cpus) {
            let what = "a CPU that the header does not have";
            return Err(RecordingError::Line { line: e.line, what, text: e.to_string() });
        }
        Ok(rec)
    }

    fn header(&mut self, line: &str) {
        if let Some(id) = line
            .strip_prefix("cgroup ")
            .and_then(|l| l.split_once(" id="))
            .and_then(|(_, id)| id.parse().ok())
        {
            if id != 1 {
                self.cgroups.push(id);
                self.cgroups.sort_unstable();
            }
            return;
        }
        if let Some((_, lag)) = line.strip_prefix("clock ").and_then(|l| l.rsplit_once("t-now=")) {
            self.clock_lag = lag.trim().parse().unwrap_or(0);
        }
        if !line.starts_with("kernel ") {
            return;
        }
        let words: Vec<&str> = line.split(' ').collect();
        let after = |key: &str| words.iter().position(|w| *w == key).and_then(|i| words.get(i + 1)).copied();
        self.cpus = after("cpus").and_then(|v| v.parse().ok()).unwrap_or(0);
        self.sched = after("sched").unwrap_or_default().to_string();
        self.opt = after("opt").unwrap_or_default().to_string();
    }
}

fn event(line: usize, text: &str) -> Result<Event, RecordingError> {
    let bad =
        |what: &'static str| RecordingError::Line { line, what, text: text.chars().take(200).collect() };
    let mut parts = text.split(',');
    let mut next = || parts.next().ok_or_else(|| bad("too few columns"));
    let (t, cpu, cur, name) = (next()?, next()?, next()?, next()?.to_string());
    let args = parts
        .map(|kv| kv.split_once('=').map(|(k, v)| (k.to_string(), v.to_string())))
        .collect::<Option<Vec<_>>>()
        .ok_or_else(|| bad("a column without ="))?;
    Ok(Event {
        line,
        t: t.parse().map_err(|_| bad("t is no number"))?,
        cpu: cpu.parse().map_err(|_| bad("cpu is no number"))?,
        cur: cur.parse().map_err(|_| bad("cur is no number"))?,
        name,
        args,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    const HEAD: &str = "# kernel 7.3.4 cpus 2 sched scx_simple opt none load 0.7 mode full seed 42\n";

    #[test]
    fn a_line_becomes_an_event() {
        let text = format!(
            "{HEAD}# other\n-5,1,-1,ins,cpu=0,dsq=LOCAL@1,id=LOCAL_ON@1,pid=7,fl=0x10,vtime=-3,mv=1\n"
        );
        let rec = Recording::from_csv(&text).unwrap();
        assert_eq!((rec.cpus, rec.sched.as_str(), rec.opt.as_str()), (2, "scx_simple", "none"));
        let e = &rec.events[0];
        assert_eq!((e.line, e.t, e.cpu, e.cur, e.name.as_str()), (3, -5, 1, -1, "ins"));
        assert_eq!((e.pid(), e.num("fl"), e.int("vtime")), (Some(7), 16, -3));
        assert_eq!(e.dsq("dsq"), Some(DsqName::Local(sextant_abi::CpuId(1))));
        assert_eq!(e.dsq_id("id"), DsqId(DsqId::LOCAL_ON.0 | 1));
        assert!(e.is("mv") && !e.is("st"));
        assert_eq!(e.dsq("id"), None);
    }

    #[test]
    fn bad_files_say_what_and_where() {
        let err = |text: &str| Recording::from_csv(text).unwrap_err().to_string();
        assert!(err("1,0,0,x\n").starts_with("no header"));
        assert!(err(&format!("{HEAD}1,0\n")).starts_with("line 2: too few columns"));
        assert!(err(&format!("{HEAD}1,z,0,x\n")).starts_with("line 2: cpu is no number"));
        assert!(err(&format!("{HEAD}1,0,0,x,y\n")).starts_with("line 2: a column without ="));
        assert!(err(&format!("{HEAD}1,2,0,x\n")).contains("header does not have"));
        assert!(Recording::from_zstd(b"no zstd").unwrap_err().to_string().starts_with("cannot decompress"));
    }
}
