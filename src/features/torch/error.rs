//! What the unpickler refuses, and why.

/// Why a pickle is refused. A pickle is a program: what `torch.save` does not write for tensors, numbers and
/// texts is never executed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum PickleError {
    /// The pickle ends in the middle.
    #[error("its pickle ends at byte {at} in the middle of a value: the file is truncated or damaged")]
    Truncated {
        /// Where more bytes were needed.
        at: usize,
    },
    /// An opcode outside the allow-list.
    #[error(
        "its pickle holds opcode 0x{opcode:02x} at byte {at}, which torch.save does not write for plain tensors; \
         it is refused, not executed"
    )]
    Opcode {
        /// The opcode.
        opcode: u8,
        /// Where it stands.
        at: usize,
    },
    /// A class or function outside the allow-list.
    #[error(
        "its pickle asks for the Python object {module}.{name}; only plain tensors are read here, and nothing is \
         executed; save the state dict alone: torch.save(model.state_dict(), \"weights.pt\")"
    )]
    Global {
        /// Its module.
        module: String,
        /// Its name in the module.
        name: String,
    },
    /// A pickle protocol other than 2.
    #[error("its pickle has protocol {0}; save it with torch.save's default, protocol 2")]
    Protocol(u8),
    /// A bound of this reader.
    #[error(
        "its pickle has more than {limit} {what}, far beyond any checkpoint of the Segment Anything models"
    )]
    TooMuch {
        /// What there is too much of.
        what: &'static str,
        /// How much is read.
        limit: usize,
    },
    /// An opcode found something else than it needs.
    #[error("its pickle is damaged at byte {at}: {what}")]
    Malformed {
        /// Where.
        at: usize,
        /// What was expected.
        what: &'static str,
    },
}
