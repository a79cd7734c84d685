//! Ctrl-C and SIGTERM: the first one asks for an orderly end, the second one ends the program at once.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use signal_hook::consts::{SIGINT, SIGTERM};
use signal_hook::flag;

use crate::status::Status;

/// Whether the run is to end.
#[derive(Clone)]
pub struct Interrupt(Arc<AtomicBool>);

impl Interrupt {
    /// Starts to listen.
    pub fn listen() -> std::io::Result<Interrupt> {
        let pressed = Arc::new(AtomicBool::new(false));
        for signal in [SIGINT, SIGTERM] {
            // In this order: the first signal finds the flag still unset.
            flag::register_conditional_shutdown(signal, Status::Interrupted as i32, Arc::clone(&pressed))?;
            flag::register(signal, Arc::clone(&pressed))?;
        }
        Ok(Interrupt(pressed))
    }

    /// Whether a signal came.
    pub fn pressed(&self) -> bool {
        self.0.load(Ordering::Relaxed)
    }
}
