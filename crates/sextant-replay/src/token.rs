//! Decisions as short texts that compare equal when the kernel and the class did the same.

use std::collections::BTreeMap;

use sextant_abi::DsqId;
use sextant_sched::event::Event as SchedEvent;
use sextant_sched::ext::events::EVENTS;
use sextant_sched::ops::Op;
use sextant_sched::probe::Probe;
use sextant_sched::{Sched, TaskId};

use crate::recording::{Event, Recording, number};

/// One decision.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub struct Token {
    /// Its kind, for the breakdown.
    pub kind: String,
    /// What was decided.
    pub what: String,
}

impl Token {
    /// Of a kind.
    pub fn new(kind: &str, what: String) -> Token {
        Token { kind: kind.to_string(), what }
    }

    /// Whether its place among the others says nothing: counters, and results that are known at the end of an entry.
    pub fn unordered(&self) -> bool {
        matches!(self.kind.as_str(), "event" | "enable" | "reweight" | "select" | "pick")
    }
}

/// Flags that the class's events show: internal bits are masked, but for the priority queue's.
const fn shown(flags: u64) -> u64 {
    flags & !(0xff << 56) | flags & 1 << 57
}

fn id_text(id: DsqId) -> String {
    format!("{id:?}").replace("LOCAL_ON@", "LOCAL@")
}

fn pid(s: &Sched, p: TaskId) -> i32 {
    s.tasks[p].ts.pid().get(&*s.mem)
}

/// The kernel's decisions among the events of a reaction.
pub fn theirs(rec: &Recording, body: &[usize], live: bool) -> Vec<(Token, usize)> {
    body.iter()
        .enumerate()
        .filter_map(|(k, &i)| {
            let rest = body[k + 1..].iter().map(|&j| &rec.events[j]);
            let e = &rec.events[i];
            let call = if live { kfunc_call(e) } else { None };
            call.or_else(|| their_token(e, rest)).map(|token| (token, i))
        })
        .collect()
}

fn their_token<'a>(e: &Event, mut rest: impl Iterator<Item = &'a Event>) -> Option<Token> {
    let s = |key: &str| e.get(key).unwrap_or("?").to_string();
    let mut ret = |name: &str, key: &str| rest.find(|r| r.name == name && r.get(key) == e.get(key));
    // The converter could not name every bypass DSQ.
    let bypass = |dsq: String| if dsq.starts_with(['B', '?']) { "BYPASS".to_string() } else { dsq };
    let (kind, what) = match e.name.as_str() {
        "do_enq" => ("do_enq", format!("{} fl={:#x} sticky={}", s("pid"), e.num("fl"), s("sticky"))),
        "ins" => {
            let (slice, vtime) = match ret("ins_ret", "pid") {
                Some(r) => (r.num("slice"), r.num("vtime")),
                None => (e.num("cslice"), e.num("cvt")),
            };
            let what = format!(
                "{} on {} slice={slice} vtime={vtime} fl={:#x}",
                s("pid"),
                bypass(s("dsq")),
                shown(e.num("fl"))
            );
            ("ins", what)
        }
        "rm" => ("rm", format!("{} from {}", s("pid"), bypass(s("dsq")))),
        "consume" => {
            let got = ret("consume_ret", "id").is_none_or(|r| r.is("ret"));
            ("consume", format!("{} taken={got}", bypass(s("dsq"))))
        }
        "l2l" => ("l2l", format!("{} cpu={} fl={:#x}", s("pid"), s("cpu"), e.num("fl"))),
        "r2l" => ("r2l", format!("{} from={} to={} fl={:#x}", s("pid"), s("scpu"), s("cpu"), e.num("fl"))),
        "to_local" => {
            ("to_local", format!("{} dst={} slice={} fl={:#x}", s("pid"), s("dst"), s("slice"), e.num("fl")))
        }
        "upd" => ("charge", format!("{} slice={}", s("pid"), ret("upd_ret", "pid")?.num("slice"))),
        "resched" => ("resched", format!("cpu={}", s("cpu"))),
        "kick" => ("kick", format!("cpu={} fl={:#x}", s("cpu"), e.num("fl"))),
        "reenq" => ("reenq", format!("{} fl={:#x}", s("id"), e.num("fl"))),
        "idle_tac" => ("idle_tac", format!("cpu={} {}", s("cpu"), e.is("ret"))),
        "idle_pick" => ("idle_pick", format!("ret={}", s("ret"))),
        "seldfl_ret" => ("seldfl", format!("{} ret={}", s("pid"), s("ret"))),
        "sel_rq_ret" => {
            let what = format!(
                "{} ret={} sel={} ddsp={} {} {:#x}",
                s("pid"),
                s("ret"),
                s("sel"),
                s("ddsp"),
                s("ddslice"),
                e.num("ddfl")
            );
            ("select", what)
        }
        "pick_ret" if s("ret") == "task" => ("pick", format!("{} slice={}", s("pid"), s("slice"))),
        "pick_ret" => ("pick", s("ret")),
        "enable_ret" => (
            "enable",
            format!("{} weight={} slice={} vtime={}", s("pid"), s("weight"), s("slice"), s("vtime")),
        ),
        "reweight_ret" => ("reweight", format!("{} weight={}", s("pid"), s("weight"))),
        "sched_ext_event" => {
            let msg = e.get("msg")?.strip_prefix("name_SCX_EV_")?;
            let (name, delta) = msg.rsplit_once("_delta_")?;
            // How long it lasted is not the class's doing.
            ("event", (name != "BYPASS_DURATION").then(|| format!("{name} +{delta}"))?)
        }
        "k_m2l_ret" => ("k_m2l", format!("{} ret={}", s("id"), s("ret"))),
        "k_move_ret" => ("k_move", format!("{} to {} ret={}", s("pid"), s("id"), s("ret"))),
        "k_seldfl" => ("k_seldfl", format!("{} ret={} idle={}", s("pid"), s("ret"), s("is_idle"))),
        "k_tac" => ("k_tac", format!("cpu={} ret={}", s("cpu"), s("ret"))),
        "k_pick" => ("k_pick", format!("ret={}", s("ret"))),
        "k_pickany" => ("k_pickany", format!("ret={}", s("ret"))),
        "k_nrq" => ("k_nrq", format!("{} ret={}", s("id"), s("ret"))),
        name if name.starts_with("op_") => {
            let known = |key: &str| {
                let other = matches!((name, key), ("op_init_task", "cgrp") | ("op_cgroup_init", "weight"));
                !other && !matches!(key, "mv" | "st")
            };
            let args: Vec<String> = e.args.iter().filter(|(k, _)| known(k)).map(|(_, v)| plain(v)).collect();
            (name, args.join(" "))
        }
        _ => return None,
    };
    Some(Token::new(kind, what))
}

/// A kfunc call by its arguments: compared where a program makes it, not where the recording's calls are repeated.
fn kfunc_call(e: &Event) -> Option<Token> {
    let s = |key: &str| e.get(key).unwrap_or("?");
    let what = match e.name.as_str() {
        "k_ins" => insert_call(e.pid(), e.dsq_id("id"), e.num("slice"), e.num("vtime"), e.num("fl")),
        "k_kick" => format!("cpu={} fl={:#x}", s("cpu"), e.num("fl")),
        "k_mkdsq" => format!("{:?} node={}", e.dsq_id("id"), s("node")),
        "k_rmdsq" => format!("{:?}", e.dsq_id("id")),
        "k_setslice" => format!("{} slice={}", s("pid"), e.num("slice")),
        "k_setvt" => format!("{} vtime={}", s("pid"), e.num("vtime")),
        _ => return None,
    };
    Some(Token::new(&e.name, what))
}

/// An insertion as a kfunc is asked for it.
pub fn insert_call(pid: Option<i32>, dsq: DsqId, slice: u64, vtime: u64, flags: u64) -> String {
    let pid = pid.map_or("?".to_string(), |pid| pid.to_string());
    format!("{pid} to {dsq:?} slice={slice} vtime={vtime} fl={:#x}", shown(flags))
}

/// Numbers in one spelling.
fn plain(v: &str) -> String {
    match number(v) {
        Some(n) if !v.starts_with('-') => n.to_string(),
        _ => v.to_string(),
    }
}

/// A result of a kfunc, and how many events and probes were before it.
pub type Note = (usize, usize, Token);

/// What the class did in one entry: its events, probes and the notes of the ops, in order. Empties `s.events` and `s.probes`.
pub fn ours(s: &mut Sched, notes: Vec<Note>) -> Vec<Token> {
    let events = std::mem::take(&mut s.events);
    let probes = s.probes.replace(Vec::new()).unwrap_or_default();
    let mut notes = notes.into_iter().peekable();
    let mut out = Collect::default();
    let mut next_probe = 0;
    for i in 0..=events.len() {
        loop {
            if let Some((_, _, token)) = notes.next_if(|&(e, p, _)| e <= i && p <= next_probe) {
                out.tokens.push(token);
            } else if probes.get(next_probe).is_some_and(|(at, _)| *at <= i) {
                out.probe(s, probes[next_probe].1);
                next_probe += 1;
            } else {
                break;
            }
        }
        if let Some((_, _, event)) = events.get(i) {
            out.event(s, event);
        }
    }
    out.tokens.extend(notes.map(|(_, _, token)| token));
    out.tokens
}

#[derive(Default)]
struct Collect {
    tokens: Vec<Token>,
    /// `consume` tokens whose result is not known yet.
    consuming: Vec<usize>,
    /// The next insertion event is that of a local transfer, which is a token of its own.
    transfer: bool,
}

impl Collect {
    fn push(&mut self, kind: &str, what: String) {
        self.tokens.push(Token::new(kind, what));
    }

    fn event(&mut self, s: &Sched, event: &SchedEvent) {
        match *event {
            SchedEvent::OpCall { op, p, args } => {
                self.push(&format!("op_{}", op.name()), op_args(s, op, p, args))
            }
            SchedEvent::DsqInsert { .. } if std::mem::take(&mut self.transfer) => {}
            SchedEvent::DsqInsert { p, dsq, slice, vtime, enq_flags } => {
                let (pid, dsq, fl) = (pid(s, p), id_text(dsq), shown(enq_flags));
                self.push("ins", format!("{pid} on {dsq} slice={slice} vtime={vtime} fl={fl:#x}"));
            }
            SchedEvent::DsqRemove { p, dsq } => {
                self.push("rm", format!("{} from {}", pid(s, p), id_text(dsq)))
            }
            _ => {}
        }
    }

    fn probe(&mut self, s: &Sched, probe: Probe) {
        match probe {
            Probe::DoEnqueue { p, flags, sticky } => {
                let sticky = sticky.map_or("-1".to_string(), |c| c.to_string());
                self.push("do_enq", format!("{} fl={flags:#x} sticky={sticky}", pid(s, p)));
            }
            Probe::Consume { dsq } => {
                self.consuming.push(self.tokens.len());
                self.push("consume", id_text(DsqId(dsq)));
            }
            Probe::ConsumeRet(taken) => {
                if let Some(i) = self.consuming.pop() {
                    let what = &mut self.tokens[i].what;
                    *what = format!("{what} taken={taken}");
                }
            }
            Probe::LocalToLocal { p, cpu, flags } => {
                self.transfer = true;
                self.push("l2l", format!("{} cpu={cpu} fl={flags:#x}", pid(s, p)));
            }
            Probe::RemoteToLocal { p, src, dst, flags } => {
                self.push("r2l", format!("{} from={src} to={dst} fl={flags:#x}", pid(s, p)));
            }
            Probe::ToLocal { p, dst, slice, flags } => {
                self.push("to_local", format!("{} dst=LOCAL@{dst} slice={slice} fl={flags:#x}", pid(s, p)));
            }
            Probe::Charge { p, slice } => self.push("charge", format!("{} slice={slice}", pid(s, p))),
            Probe::Resched(cpu) => self.push("resched", format!("cpu={cpu}")),
            Probe::IdleClaim(cpu, was) => self.push("idle_tac", format!("cpu={cpu} {was}")),
            Probe::IdlePick(ret) => self.push("idle_pick", format!("ret={ret}")),
            Probe::SelectDfl(p, ret) => self.push("seldfl", format!("{} ret={ret}", pid(s, p))),
            Probe::Kick(cpu, flags) => self.push("kick", format!("cpu={cpu} fl={flags:#x}")),
            Probe::Reenq(id, flags) => self.push("reenq", format!("{:?} fl={flags:#x}", DsqId(id))),
        }
    }
}

fn op_args(s: &Sched, op: Op, p: Option<TaskId>, [a, b]: [u64; 2]) -> String {
    let p_text = p.map_or("-1".to_string(), |p| pid(s, p).to_string());
    match op {
        Op::SelectCpu => format!("{p_text} {a} {b}"),
        Op::Dispatch => format!("{a} {p_text}"),
        Op::SetCpumask => {
            let mask = p.map_or(0, |p| s.tasks[p].ts.cpus(&*s.mem).bits().at(0).get(&*s.mem));
            format!("{p_text} {mask}")
        }
        Op::CgroupPrepMove | Op::CgroupMove | Op::CgroupCancelMove => format!("{p_text} {a} {b}"),
        Op::UpdateIdle | Op::CpuRelease | Op::CgroupSetWeight => format!("{a} {b}"),
        Op::CpuAcquire | Op::CgroupInit | Op::CgroupExit => a.to_string(),
        Op::Init => String::new(),
        Op::Exit => s.ext.exit_info().map_or(0, |info| info.kind.value()).to_string(),
        Op::Tick | Op::Running | Op::Enable | Op::Disable | Op::Yield => p_text,
        _ => format!("{p_text} {a}"),
    }
}

/// Counters that went up, as tokens; the kernel traces each increment, so a counter of n gives n tokens.
pub fn counted(before: &[i64], after: &[i64]) -> Vec<Token> {
    let mut out = Vec::new();
    for ((name, b), a) in EVENTS.iter().zip(before).zip(after) {
        let name = name.strip_prefix("SCX_EV_").unwrap_or(name);
        if name == "BYPASS_DURATION" {
            continue; // ns; how long it lasted is not the class's doing
        }
        out.extend((*b..*a).map(|_| Token::new("event", format!("{name} +1"))));
    }
    out
}

/// How two sequences of decisions compare.
#[derive(Clone, Debug, Default)]
pub struct Diff {
    /// Kinds of the decisions that both made.
    pub matched: Vec<String>,
    /// Only the kernel made these (index into theirs).
    pub only_theirs: Vec<usize>,
    /// Only the class made these (index into ours).
    pub only_ours: Vec<usize>,
}

/// Compares: the longest common subsequence, and the unordered ones as a multiset.
pub fn diff(theirs: &[Token], ours: &[Token]) -> Diff {
    let mut d = Diff::default();
    let split = |tokens: &[Token]| -> (Vec<usize>, Vec<usize>) {
        (0..tokens.len()).partition(|&i| !tokens[i].unordered())
    };
    let ((to, tu), (oo, ou)) = (split(theirs), split(ours));
    let mut free: BTreeMap<&Token, Vec<usize>> = BTreeMap::new();
    for &i in &ou {
        free.entry(&ours[i]).or_default().push(i);
    }
    for &i in &tu {
        match free.get_mut(&theirs[i]).and_then(Vec::pop) {
            Some(_) => d.matched.push(theirs[i].kind.clone()),
            None => d.only_theirs.push(i),
        }
    }
    d.only_ours.extend(free.into_values().flatten());
    lcs(theirs, &to, ours, &oo, &mut d);
    d.only_theirs.sort_unstable();
    d.only_ours.sort_unstable();
    d
}

fn lcs(theirs: &[Token], to: &[usize], ours: &[Token], oo: &[usize], d: &mut Diff) {
    let (n, m) = (to.len(), oo.len());
    let mut len = vec![vec![0u32; m + 1]; n + 1];
    for i in (0..n).rev() {
        for j in (0..m).rev() {
            len[i][j] = if theirs[to[i]] == ours[oo[j]] {
                len[i + 1][j + 1] + 1
            } else {
                len[i + 1][j].max(len[i][j + 1])
            };
        }
    }
    let (mut i, mut j) = (0, 0);
    while i < n || j < m {
        if i < n && j < m && theirs[to[i]] == ours[oo[j]] {
            d.matched.push(theirs[to[i]].kind.clone());
            (i, j) = (i + 1, j + 1);
        } else if j == m || (i < n && len[i + 1][j] >= len[i][j + 1]) {
            d.only_theirs.push(to[i]);
            i += 1;
        } else {
            d.only_ours.push(oo[j]);
            j += 1;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn t(list: &[&str]) -> Vec<Token> {
        list.iter().map(|w| Token::new(w.split(' ').next().unwrap(), w.to_string())).collect()
    }

    #[test]
    fn what_both_did_in_the_same_order_matches() {
        let d = diff(&t(&["a", "b", "c"]), &t(&["a", "x", "c"]));
        assert_eq!((d.matched.len(), d.only_theirs, d.only_ours), (2, vec![1], vec![1]));
        let d = diff(&t(&["a", "b"]), &t(&["b", "a"]));
        assert_eq!((d.matched.len(), d.only_theirs.len(), d.only_ours.len()), (1, 1, 1));
        let d = diff(&t(&["event 1", "a"]), &t(&["a", "event 1"]));
        assert_eq!(d.matched.len(), 2);
        let d = diff(&t(&["event 1", "event 1"]), &t(&["event 1"]));
        assert_eq!((d.matched.len(), d.only_theirs.len()), (1, 1));
    }
}
