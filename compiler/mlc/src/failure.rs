//! Why a command did not do its work.

use mlc_syntax::diag::{Diagnostic, Severity};

/// What went wrong; decides the exit status.
#[derive(Clone, Debug)]
pub enum Failure {
    /// The user's program or data is wrong, or the system refuses: exit status 1.
    Diagnostics(Vec<Diagnostic>),
    /// The command line is wrong or asks for something that isn't there: exit status 2.
    Usage(String),
    /// Whatever was started has said what is wrong; its exit status.
    Reported(u8),
}

impl Failure {
    /// `what` is in the contract and not in this version.
    pub fn not_supported(what: &str) -> Failure {
        Failure::Usage(format!("{what} is not supported yet"))
    }
}

impl From<Diagnostic> for Failure {
    fn from(diagnostic: Diagnostic) -> Failure {
        Failure::Diagnostics(vec![diagnostic])
    }
}

/// Whether any of them refuses the program.
pub fn any_error(diagnostics: &[Diagnostic]) -> bool {
    diagnostics.iter().any(|diagnostic| diagnostic.severity == Severity::Error)
}
