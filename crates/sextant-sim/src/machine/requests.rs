//! Carrying out what `Sched` asks of the machine: interrupts to other CPUs, timers, deferred work.

use sextant_abi::{CpuId, Ns};
use sextant_sched::{Request, TimerId, Work};

use super::{ClassTimer, Simulation, What};

impl Simulation {
    /// Whether this CPU has irq_work to do.
    pub(super) fn drain_requests(&mut self, this: CpuId) -> bool {
        let mut irq_work = false;
        let mut requests =
            std::mem::replace(&mut self.sched.requests, std::mem::take(&mut self.spare_requests));
        for request in requests.drain(..) {
            match request {
                Request::Resched(cpu) if cpu == this => {}
                Request::Resched(cpu) => self.send_ipi(cpu),
                Request::IrqWork(cpu) if cpu == this => irq_work = true,
                Request::IrqWork(cpu) => {
                    self.cpus[cpu.idx()].irq_work = true;
                    self.send_ipi(cpu);
                }
                Request::TimerArm { timer, cpu, at } => self.arm_timer(timer, cpu, at),
                Request::TimerCancel(timer) => {
                    if let Some(&i) = self.timer_index.get(&timer) {
                        self.queue.cancel(self.timers[i as usize].slot);
                    }
                }
                Request::ServerTimer { cpu, server, at } => {
                    let slot = self.cpus[cpu.idx()].servers[server as usize];
                    match at {
                        Some(at) => self.queue.arm(slot, at.max(self.sched.now)),
                        None => self.queue.cancel(slot),
                    }
                }
                Request::Work(work, at) => self.queue_work(work, at),
            }
        }
        self.spare_requests = requests;
        irq_work
    }

    pub(crate) fn send_ipi(&mut self, cpu: CpuId) {
        let slot = self.cpus[cpu.idx()].ipi;
        let at = self.sched.now + Ns(self.costs.ipi_ns);
        if self.queue.armed(slot).is_none_or(|armed| armed > at) {
            self.queue.arm(slot, at);
        }
    }

    fn arm_timer(&mut self, id: TimerId, cpu: CpuId, at: Ns) {
        let i = match self.timer_index.get(&id) {
            Some(&i) => i,
            None => {
                let i = self.timers.len() as u32;
                let slot = self.queue.add(What::Timer(i));
                self.timers.push(ClassTimer { id, cpu, slot });
                self.timer_index.insert(id, i);
                i
            }
        };
        let timer = &mut self.timers[i as usize];
        timer.cpu = cpu;
        self.queue.arm(timer.slot, at.max(self.sched.now));
    }

    fn queue_work(&mut self, work: Work, at: Ns) {
        let slot = match self.works.iter().find(|w| w.0 == work) {
            Some(&(_, slot)) => slot,
            None => {
                let slot = self.queue.add(What::Work(self.works.len() as u32));
                self.works.push((work, slot));
                slot
            }
        };
        self.queue.arm(slot, at.max(self.sched.now));
    }
}
