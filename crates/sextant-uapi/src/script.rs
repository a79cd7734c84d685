//! Calls of bpf(2) written down as bytes, for tests with arbitrary input.
//!
//! ```text
//!  calls: command u8 | bytes of attributes u8 | attributes      0xff ends them; the rest is the caller's memory
//!  in attributes, an aligned u64 with the upper half PLACE is the address of that byte of the memory
//!                 an aligned u32 with the upper half FD is the descriptor that the nth call gave
//! ```
//!
//! What must hold: the calls reach no memory but the caller's own, and all descriptors they give are closed.

use std::os::fd::{FromRawFd, OwnedFd};
use std::rc::Rc;

use sextant_vm::Vm;

use crate::attr::{SIZE, cmd};
use crate::user;
use crate::{Kernel, KernelConfig, with_kernel};

/// Upper half of a word that stands for a place in the memory.
pub const PLACE: u32 = 0x5a5a_5a5a;
/// Upper half of a u32 that stands for a descriptor.
pub const FD: u16 = 0x5a5a;
/// Bytes of the caller's memory.
const MEMORY: usize = 16 << 10;
/// Calls of a script.
const CALLS: usize = 32;
/// Ends the calls.
const END: u8 = 0xff;

/// Runs a script against a new kernel with this vm, verifying what it loads: the answers, negated errnos among them.
pub fn run(script: &[u8], config: KernelConfig, vm: Rc<Vm>) -> Vec<i32> {
    let kernel = Kernel::new(config);
    kernel.set_vm(vm, Vec::new());
    kernel.verify_programs();
    let (calls, rest) = split(script);
    let mut memory = vec![0; MEMORY + SIZE];
    let len = rest.len().min(MEMORY);
    memory[SIZE..SIZE + len].copy_from_slice(&rest[..len]);
    let mut answers = Vec::new();
    let mut given: Vec<OwnedFd> = Vec::new();
    for (command, attr) in calls {
        let mut bytes = [0; SIZE];
        bytes[..attr.len()].copy_from_slice(attr);
        place(&mut bytes, memory.as_ptr() as u64 + SIZE as u64, &answers);
        memory[..SIZE].copy_from_slice(&bytes);
        let size = attr.len() as u32;
        let mut answer = 0;
        user::only(&mut memory, |at| {
            with_kernel(&kernel, || answer = kernel.bpf(command.into(), at, size));
        });
        if gives_fd(command.into()) && answer >= 0 {
            // SAFETY: the call has made this descriptor and handed it to its caller, who is here.
            given.push(unsafe { OwnedFd::from_raw_fd(answer) });
        }
        answers.push(answer);
    }
    answers
}

fn gives_fd(command: u32) -> bool {
    matches!(
        command,
        cmd::MAP_CREATE
            | cmd::PROG_LOAD
            | cmd::BTF_LOAD
            | cmd::LINK_CREATE
            | cmd::RAW_TRACEPOINT_OPEN
            | cmd::MAP_GET_FD_BY_ID
            | cmd::PROG_GET_FD_BY_ID
            | cmd::BTF_GET_FD_BY_ID
    )
}

/// A command and its attributes.
type Call<'a> = (u8, &'a [u8]);

/// The calls, and what is behind them.
fn split(mut script: &[u8]) -> (Vec<Call<'_>>, &[u8]) {
    let mut calls = Vec::new();
    while let [command, len, rest @ ..] = script {
        let len = usize::from(*len).min(SIZE);
        if *command == END || rest.len() < len || calls.len() == CALLS {
            break;
        }
        calls.push((*command, &rest[..len]));
        script = &rest[len..];
    }
    (calls, script.strip_prefix(&[END]).unwrap_or(script))
}

/// Puts in what places and descriptors stand for.
fn place(attr: &mut [u8; SIZE], memory: u64, answers: &[i32]) {
    for word in attr.as_chunks_mut::<8>().0 {
        let value = u64::from_le_bytes(*word);
        if (value >> 32) as u32 == PLACE {
            *word = (memory + u64::from(value as u32) % MEMORY as u64).to_le_bytes();
        }
    }
    for word in attr.as_chunks_mut::<4>().0 {
        let value = u32::from_le_bytes(*word);
        if (value >> 16) as u16 == FD {
            let answer = answers.get(usize::from(value as u16)).copied().unwrap_or(-1);
            *word = answer.to_le_bytes();
        }
    }
}
