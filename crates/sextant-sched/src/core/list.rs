//! `struct list_head` in BPF-visible memory, for lists that programs walk. Mirrors include/linux/list.h, 7.3.

use sextant_abi::types::ListHead;

use crate::sched::KMem;

/// What `prev` of an entry holds that was taken off while readers may be on it (`LIST_POISON2` on x86-64).
pub(crate) const LIST_POISON2: u64 = 0xdead_0000_0000_0122;

/// An empty list.
pub(crate) fn list_init(mem: &KMem, head: ListHead) {
    head.next().set(mem, head.addr());
    head.prev().set(mem, head.addr());
}

/// `list_add_tail`
pub(crate) fn list_add_tail(mem: &KMem, entry: ListHead, head: ListHead) {
    let prev = ListHead::at(head.prev().get(mem));
    entry.next().set(mem, head.addr());
    entry.prev().set(mem, prev.addr());
    prev.next().set(mem, entry.addr());
    head.prev().set(mem, entry.addr());
}

/// `list_del_rcu`: who is on the entry still finds the way on.
pub(crate) fn list_del_rcu(mem: &KMem, entry: ListHead) {
    let (prev, next) = (ListHead::at(entry.prev().get(mem)), ListHead::at(entry.next().get(mem)));
    prev.next().set(mem, next.addr());
    next.prev().set(mem, prev.addr());
    entry.prev().set(mem, LIST_POISON2);
}
