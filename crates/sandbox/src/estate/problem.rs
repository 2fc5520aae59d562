//! What is wrong with an estate, and where.

use std::fmt;

/// Everything that is wrong with an estate.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EstateError {
    /// In the order of the document.
    pub problems: Vec<EstateProblem>,
}

/// One thing that is wrong, and where.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct EstateProblem {
    /// The line, the first being 1; 0 when it is not known.
    pub line: usize,
    /// The column, the first being 1; 0 when it is not known.
    pub column: usize,
    /// The place in the document, `machines[2].image`; empty for a fault of the syntax.
    pub path: String,
    /// What is wrong and what to do.
    pub message: String,
}

impl fmt::Display for EstateProblem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}: {}", self.line, self.column, self.message)
    }
}

impl fmt::Display for EstateError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, problem) in self.problems.iter().enumerate() {
            let separator = if index == 0 { "" } else { "\n" };
            write!(f, "{separator}{problem}")?;
        }
        Ok(())
    }
}

impl std::error::Error for EstateError {}
