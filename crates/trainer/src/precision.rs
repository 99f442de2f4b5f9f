//! The float types of a run: those of the parameters, and those in which the steps compute.

mod in_use;

use std::{fmt, str::FromStr};

use burn::tensor::{Device, FloatDType};
use serde::{Deserialize, Serialize, Serializer};
use stormfire_module::{Error, Result};
use stormfire_values::{reads_text, text::TextError};

pub(crate) use in_use::{InUse, has_parameters_of};

use crate::accelerator::describe;

/// The value of [`Trainer::precision`](crate::Trainer::precision), with Lightning's names.
///
/// As text: `"32-true"`, `"bf16-mixed"`, `"16-mixed"`, `"bf16-true"` or `"64-true"`. As in Lightning, `"32"`, `"bf16"`,
/// `"16"` and `"64"` are short for `"32-true"`, `"bf16-mixed"`, `"16-mixed"` and `"64-true"`.
///
/// ```
/// use stormfire_trainer::Precision;
///
/// assert_eq!("bf16".parse::<Precision>()?, Precision::Bf16Mixed);
/// assert_eq!(Precision::F16Mixed.to_string(), "16-mixed");
/// # Ok::<(), stormfire_module::Error>(())
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(try_from = "GivenPrecision")]
pub enum Precision {
    /// `f32`.
    F32True,
    /// Parameters in `f32`, steps in `bf16`.
    Bf16Mixed,
    /// Parameters in `f32`, steps in `f16`, with a scaled loss.
    F16Mixed,
    /// `bf16`. Small updates of a parameter are lost: `1.0 + 0.001` is `1.0`.
    Bf16True,
    /// `f64`.
    F64True,
}

const FORMS: &str = "`32-true`, `bf16-mixed`, `16-mixed`, `bf16-true` or `64-true`";

/// The names, and the short forms.
const WORDS: [(&str, Precision); 9] = [
    ("32-true", Precision::F32True),
    ("bf16-mixed", Precision::Bf16Mixed),
    ("16-mixed", Precision::F16Mixed),
    ("bf16-true", Precision::Bf16True),
    ("64-true", Precision::F64True),
    ("32", Precision::F32True),
    ("bf16", Precision::Bf16Mixed),
    ("16", Precision::F16Mixed),
    ("64", Precision::F64True),
];

/// As a file may contain it.
#[derive(Deserialize)]
#[serde(untagged, expecting = "expected a precision, such as `bf16-mixed`")]
enum GivenPrecision {
    Bits(u32),
    Text(String),
}

impl TryFrom<GivenPrecision> for Precision {
    type Error = TextError;

    fn try_from(given: GivenPrecision) -> Result<Self, TextError> {
        match given {
            GivenPrecision::Bits(bits) => bits.try_into(),
            GivenPrecision::Text(text) => text.parse(),
        }
    }
}

/// 16, 32 or 64, as in Lightning.
impl TryFrom<u32> for Precision {
    type Error = TextError;

    fn try_from(bits: u32) -> Result<Self, TextError> {
        bits.to_string().parse()
    }
}

impl FromStr for Precision {
    type Err = TextError;

    fn from_str(text: &str) -> Result<Self, TextError> {
        let refuse = |reason: &str| TextError { text: text.into(), what: "a precision", reason: reason.into(), forms: FORMS };
        let word = text.trim();
        if word == "16-true" {
            return Err(refuse("parameters in f16 diverge, because Adam divides by squares of gradients that are zero there"));
        }
        let known = WORDS.iter().find(|(name, _)| *name == word);
        known.map(|(_, precision)| *precision).ok_or_else(|| refuse("there is no such precision"))
    }
}

reads_text!(Precision);

impl fmt::Display for Precision {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let name = WORDS.iter().find(|(_, precision)| precision == self).map_or("", |(name, _)| name);
        f.write_str(name)
    }
}

impl Serialize for Precision {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl Precision {
    /// The type of the parameters, and of everything that is kept.
    pub(crate) fn of_parameters(self) -> FloatDType {
        match self {
            Self::F32True | Self::Bf16Mixed | Self::F16Mixed => FloatDType::F32,
            Self::Bf16True => FloatDType::BF16,
            Self::F64True => FloatDType::F64,
        }
    }

    /// The type in which the steps compute, if it is another one.
    pub(crate) fn of_steps(self) -> Option<FloatDType> {
        match self {
            Self::Bf16Mixed => Some(FloatDType::BF16),
            Self::F16Mixed => Some(FloatDType::F16),
            Self::F32True | Self::Bf16True | Self::F64True => None,
        }
    }

    /// Makes the type of this precision's parameters the default one of a device, for all tensors of the process. A
    /// Trainer does so when its first run starts. Call it at the start of `main` if tensors are made before.
    ///
    /// burn sets the type of a device once: at this call, or with the first tensor.
    ///
    /// # Errors
    /// [`Error::Config`] if the device has another type already, or does not support this one.
    pub fn prepare(self, device: &Device) -> Result<()> {
        let (wanted, mut device) = (self.of_parameters(), device.clone().inner());
        let name = |dtype: FloatDType| burn::tensor::DType::from(dtype).name();
        for dtype in [Some(wanted), self.of_steps()].into_iter().flatten() {
            if !device.supports_dtype(dtype) {
                let reason = format!("`{}` does not support {}", describe(&device), name(dtype));
                return Err(Error::config("precision", reason, "use another precision, such as `32-true`"));
            }
        }
        let own = device.settings().float_dtype;
        if own == wanted {
            return Ok(());
        }
        device.configure(wanted).map_err(|_| {
            let reason = format!(
                "`{self}` needs a device whose tensors are {}, but those of `{}` are {}, which burn sets with the first tensor of a process",
                name(wanted),
                describe(&device),
                name(own),
            );
            let hint = format!(
                "call `Precision::{self:?}.prepare(&device)?` at the start of `main`, before the module, the data or any other tensor is made; \
                 one process has one type on each device"
            );
            Error::config("precision", reason, hint)
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lightnings_names_and_short_forms_are_read() {
        for (text, precision) in WORDS {
            assert_eq!(text.parse::<Precision>().unwrap(), precision);
            let json = serde_json::to_string(&precision).unwrap();
            assert_eq!(serde_json::from_str::<Precision>(&json).unwrap(), precision, "{json}");
        }
        assert_eq!(serde_json::from_str::<Precision>("64").unwrap(), Precision::F64True);
        assert_eq!(Precision::try_from(16).unwrap(), Precision::F16Mixed);
        assert_eq!(Precision::Bf16Mixed.to_string(), "bf16-mixed");
    }

    #[test]
    fn anything_else_is_refused_with_all_that_there_are() {
        let texts = ["8", "bf32", "transformer-engine", "", "16-True", "16-true"];
        let errors = texts.map(|text| text.parse::<Precision>().unwrap_err().to_string());
        insta::assert_snapshot!(errors.join("\n"), @r"
        cannot read `8` as a precision: there is no such precision; write `32-true`, `bf16-mixed`, `16-mixed`, `bf16-true` or `64-true`
        cannot read `bf32` as a precision: there is no such precision; write `32-true`, `bf16-mixed`, `16-mixed`, `bf16-true` or `64-true`
        cannot read `transformer-engine` as a precision: there is no such precision; write `32-true`, `bf16-mixed`, `16-mixed`, `bf16-true` or `64-true`
        cannot read `` as a precision: there is no such precision; write `32-true`, `bf16-mixed`, `16-mixed`, `bf16-true` or `64-true`
        cannot read `16-True` as a precision: there is no such precision; write `32-true`, `bf16-mixed`, `16-mixed`, `bf16-true` or `64-true`
        cannot read `16-true` as a precision: parameters in f16 diverge, because Adam divides by squares of gradients that are zero there; write `32-true`, `bf16-mixed`, `16-mixed`, `bf16-true` or `64-true`
        ");
    }
}
