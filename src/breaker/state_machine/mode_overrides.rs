use crate::breaker::switch::SwitchMode;

/// The overrides of a circuit.
#[derive(Debug)]
pub(super) struct ModeOverrides {
    /// The one that is set on the breaker itself.
    pub(super) manual: SwitchMode,
    /// The one that is set by its switch.
    pub(super) switch: SwitchMode,
}

impl ModeOverrides {
    pub(super) fn new(switch: SwitchMode) -> Self {
        ModeOverrides {
            manual: SwitchMode::Normal,
            switch,
        }
    }

    /// Returns the mode that counts: that of the switch comes first.
    pub(super) fn effective(&self) -> SwitchMode {
        match self.switch {
            SwitchMode::Normal => self.manual,
            set => set,
        }
    }
}
