use std::fmt;

use serde::{Deserialize, Serialize};

/// The kind of a run: the `stage` argument of [`DataModule::setup`](crate::DataModule::setup) and
/// [`teardown`](crate::DataModule::teardown).
///
/// Displayed and serialized as `fit`, `validate`, `test`, `predict`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Stage {
    /// Training, including its validation.
    Fit,
    /// Validation only.
    Validate,
    /// Testing.
    Test,
    /// Prediction.
    Predict,
}

impl Stage {
    /// The name in lower case, such as `fit`.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Fit => "fit",
            Self::Validate => "validate",
            Self::Test => "test",
            Self::Predict => "predict",
        }
    }
}

impl fmt::Display for Stage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

#[cfg(test)]
mod tests {
    use super::Stage;

    #[test]
    fn text_and_serde_agree() {
        for stage in [Stage::Fit, Stage::Validate, Stage::Test, Stage::Predict] {
            assert_eq!(serde_json::to_string(&stage).unwrap(), format!("\"{stage}\""));
            assert_eq!(serde_json::from_str::<Stage>(&format!("\"{stage}\"")).unwrap(), stage);
        }
        assert_eq!(format!("{:>5}|", Stage::Fit), "  fit|");
        assert!(serde_json::from_str::<Stage>("\"train\"").is_err());
    }
}
