//! Which of the six points of the contract are checked.

use std::fmt;

/// The variable that selects points: `1,2,3`.
const VARIABLE: &str = "K3S_VM_CONTRACT_POINTS";
const ALL: [u8; 6] = [1, 2, 3, 4, 5, 6];

/// A selection of points, never empty.
#[derive(Debug, Clone)]
pub struct Points(Vec<u8>);

impl Points {
    /// A selection of these points.
    ///
    /// # Panics
    /// When there are none, or a number is not a point.
    pub fn of(points: &[u8]) -> Self {
        assert!(!points.is_empty() && points.iter().all(|point| ALL.contains(point)), "{points:?} are not points");
        Points(points.to_vec())
    }

    /// The selection in `K3S_VM_CONTRACT_POINTS`; all points where it is not set.
    ///
    /// # Panics
    /// When the variable is not a list of points.
    pub fn from_environment() -> Self {
        let Ok(text) = std::env::var(VARIABLE) else { return Points(ALL.to_vec()) };
        let numbers: Option<Vec<u8>> = text.split(',').map(|word| word.trim().parse().ok()).collect();
        Points::of(&numbers.unwrap_or_else(|| panic!("{VARIABLE}={text}: it takes numbers, such as 1,2,3")))
    }

    /// Whether all of these are selected.
    pub(super) fn have_all(&self, points: &[u8]) -> bool {
        points.iter().all(|point| self.0.contains(point))
    }
}

impl fmt::Display for Points {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let numbers: Vec<String> = self.0.iter().map(u8::to_string).collect();
        f.write_str(&numbers.join(", "))
    }
}
