//! Golden lines, and what a hostile name or message cannot do.

use expect_test::expect;

use super::*;

fn name(p: TaskId) -> TaskName {
    match p.0 {
        0 => ("swapper/0".into(), 0),
        1 => ("hog".into(), 1000),
        2 => ("a b\nc".into(), 1001),
        n => (format!("t{n}"), n as i32),
    }
}

fn lines(events: &[(u64, u32, Event)]) -> String {
    let mut text = TraceText::new();
    let mut out = Vec::new();
    for (at, cpu, event) in events {
        text.append(&mut out, Ns(*at), CpuId(*cpu), event, &name);
    }
    String::from_utf8(out).unwrap()
}

#[test]
fn every_event_has_its_line() {
    let (idle, hog, odd) = (TaskId(0), TaskId(1), TaskId(2));
    let cpu = CpuId;
    let op = |op, p, args| Event::OpCall { op, p, args };
    let got = lines(&[
        (0, 0, Event::Fork { p: hog, cpu: cpu(0) }),
        (1, 0, op(Op::SelectCpu, Some(hog), [u64::MAX, 0x8])),
        (1_000_000_000, 12, op(Op::Enqueue, Some(hog), [1 | 1 << 63 | 1 << 40, 0])),
        (1_000_000_001, 4095, Event::Wakeup { p: odd, cpu: cpu(3) }),
        (2_500_000_000, 1, Event::Switch { prev: idle, prev_runnable: true, next: hog }),
        (2_500_000_000, 1, Event::Switch { prev: hog, prev_runnable: false, next: idle }),
        (3, 1, Event::Migrate { p: hog, from: cpu(1), to: cpu(2) }),
        (3, 1, Event::ClassChange { p: hog, from: Class::Fair, to: Class::Ext }),
        (4, 1, Event::DsqInsert { p: hog, dsq: DsqId(7), slice: 20_000_000, vtime: u64::MAX, enq_flags: 0 }),
        (
            4,
            1,
            Event::DsqInsert { p: hog, dsq: DsqId(DsqId::LOCAL_ON.0 | 9), slice: 0, vtime: 0, enq_flags: 1 },
        ),
        (5, 1, Event::DsqRemove { p: hog, dsq: DsqId::GLOBAL }),
        (6, 1, Event::Kick { cpu: cpu(2), flags: 3 }),
        (7, 1, op(Op::Dispatch, None, [1, 0])),
        (7, 1, op(Op::Dispatch, Some(hog), [1, 0])),
        (7, 1, op(Op::Stopping, Some(hog), [1, 0])),
        (7, 1, op(Op::Init, None, [0, 0])),
        (8, 1, Event::Idle { cpu: cpu(1), idle: true }),
        (8, 1, Event::Timer),
        (9, 1, Event::Enabled { name: "simple".into(), partial: false }),
        (9, 1, Event::Bypass { on: true }),
        (9, 1, Event::ExitClaimed { kind: 1026, msg: "hog[1000] failed to run\n#".into() }),
        (9, 1, Event::ExitClaimed { kind: 77, msg: String::new() }),
        (9, 1, Event::Disabled),
        (9, 1, Event::Printk { text: "# a\\b\u{1b}[2J é".into() }),
        (9, 1, Event::Exit { p: hog }),
    ]);
    expect![[r#"
        0.000000000 [000] fork p=hog[1000] cpu=0
        0.000000001 [000] ops.select_cpu p=hog[1000] prev_cpu=-1 wake_flags=TTWU
        1.000000000 [012] ops.enqueue p=hog[1000] enq_flags=WAKEUP|REENQ|0x8000000000000000
        1.000000001 [4095] wakeup p=a_b_c[1001] cpu=3
        2.500000000 [001] switch swapper/0[0] R ==> hog[1000]
        2.500000000 [001] switch hog[1000] S ==> swapper/0[0]
        0.000000003 [001] migrate p=hog[1000] from=1 to=2
        0.000000003 [001] class p=hog[1000] from=fair to=ext
        0.000000004 [001] dsq_insert p=hog[1000] dsq=0x7 slice=20000000 vtime=18446744073709551615 enq_flags=0
        0.000000004 [001] dsq_insert p=hog[1000] dsq=LOCAL@9 slice=0 vtime=0 enq_flags=WAKEUP
        0.000000005 [001] dsq_remove p=hog[1000] dsq=GLOBAL
        0.000000006 [001] kick cpu=2 flags=IDLE|PREEMPT
        0.000000007 [001] ops.dispatch cpu=1
        0.000000007 [001] ops.dispatch prev=hog[1000] cpu=1
        0.000000007 [001] ops.stopping p=hog[1000] runnable=1
        0.000000007 [001] ops.init
        0.000000008 [001] idle cpu=1 idle=1
        0.000000008 [001] timer
        0.000000009 [001] enabled partial=0
        0.000000009 [001] bypass on=1
        0.000000009 [001] exit_claimed kind=ERROR_STALL msg=hog[1000] failed to run\n#
        0.000000009 [001] exit_claimed kind=77 msg=
        0.000000009 [001] disabled
        0.000000009 [001] printk # a\\b\u{1b}[2J é
        0.000000009 [001] exit p=hog[1000]
    "#]]
    .assert_eq(&got);
}

#[test]
fn no_text_can_break_a_line() {
    for text in ["\n", "a\n# b", "\r\n\u{85}\u{2028}", "\0"] {
        let got = lines(&[(0, 0, Event::Printk { text: text.into() })]);
        assert_eq!(got.matches('\n').count(), 1, "{got:?}");
        assert!(is_event_line(got.as_bytes()), "{got:?}");
    }
    assert!(LEGEND.lines().all(|l| !is_event_line(l.as_bytes()) && l.len() <= 120));
    assert!(LEGEND.contains(&format!("format {FORMAT}\n")));
}

#[test]
fn made_up_flags_are_not_remembered_for_ever() {
    let mut text = TraceText::new();
    for i in 1..1000 {
        let event = Event::Kick { cpu: CpuId(0), flags: i << 20 };
        let mut line = Vec::new();
        text.append(&mut line, Ns(0), CpuId(0), &event, &name);
        assert_eq!(line, format!("0.000000000 [000] kick cpu=0 flags={:#x}\n", i << 20).into_bytes());
    }
}
