//! The event counters of a scheduler, `SCX_EV_*`. Mirrors `struct scx_event_stats`, 7.3; the order is the table's.

macro_rules! events {
    ($($event:ident $name:literal $doc:literal;)*) => {
        /// An event counter, in the order of [`ScxEventStats`](crate::types::ScxEventStats).
        #[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
        #[repr(u8)]
        pub enum Event {
            $(#[doc = $doc] $event),*
        }

        impl Event {
            /// Every event, in order.
            pub const ALL: &[Event] = &[$(Event::$event),*];
            /// How many there are.
            pub const COUNT: usize = Self::ALL.len();
        }

        /// Names, indexed by [`Event`].
        pub const EVENTS: [&str; Event::COUNT] = [$($name),*];
    };
}

impl Event {
    /// Its name, with `SCX_EV_`.
    pub const fn name(self) -> &'static str {
        EVENTS[self as usize]
    }

    /// Byte offset of its counter (an s64) in `struct scx_event_stats`.
    pub const fn offset(self) -> u32 {
        self as u32 * 8
    }
}

events! {
    SelectCpuFallback "SCX_EV_SELECT_CPU_FALLBACK" "The CPU that ops.select_cpu returned was not allowed.";
    DispatchLocalDsqOffline "SCX_EV_DISPATCH_LOCAL_DSQ_OFFLINE" "A local DSQ's CPU was offline when a task was dispatched to it.";
    DispatchKeepLast "SCX_EV_DISPATCH_KEEP_LAST" "The running task went on because there was no other.";
    EnqSkipExiting "SCX_EV_ENQ_SKIP_EXITING" "An exiting task went to the local DSQ without ops.enqueue.";
    EnqSkipMigrationDisabled "SCX_EV_ENQ_SKIP_MIGRATION_DISABLED" "The same for a migration-disabled task.";
    ReenqImmed "SCX_EV_REENQ_IMMED" "A task was enqueued again because SCX_ENQ_IMMED could not be met.";
    ReenqRepeat "SCX_EV_REENQ_REPEAT" "A task was enqueued again more than once without running.";
    RefillSliceDfl "SCX_EV_REFILL_SLICE_DFL" "A slice was filled with the default.";
    SliceClamped "SCX_EV_SLICE_CLAMPED" "A requested slice was too long.";
    SliceDenied "SCX_EV_SLICE_DENIED" "A requested slice was refused.";
    BypassDuration "SCX_EV_BYPASS_DURATION" "ns spent in bypass mode.";
    BypassDispatch "SCX_EV_BYPASS_DISPATCH" "Tasks dispatched in bypass mode.";
    BypassActivate "SCX_EV_BYPASS_ACTIVATE" "How often bypass mode was entered.";
    InsertNotOwned "SCX_EV_INSERT_NOT_OWNED" "An insert of another scheduler's task.";
    SubBypassDispatch "SCX_EV_SUB_BYPASS_DISPATCH" "Tasks dispatched for a bypassing sub-scheduler.";
    SubForcedAdmit "SCX_EV_SUB_FORCED_ADMIT" "An insert admitted without the capability.";
    SubPreemptDenied "SCX_EV_SUB_PREEMPT_DENIED" "A preemption without the capability.";
    SubKickDenied "SCX_EV_SUB_KICK_DENIED" "A kick without the capability.";
    SubReenqDenied "SCX_EV_SUB_REENQ_DENIED" "A reenqueue without the capability.";
    SubCidperfDenied "SCX_EV_SUB_CIDPERF_DENIED" "A performance request without the capability.";
    SubRescue "SCX_EV_SUB_RESCUE" "Tasks run on rescue bandwidth.";
}
